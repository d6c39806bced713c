"""``python -m langgraph_worker``: the same as ``langgraph-worker``."""

from __future__ import annotations

from langgraph_worker.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
