"""``langgraph-worker``: one module for each command."""

from langgraph_worker.cli.main import main

__all__ = ["main"]
