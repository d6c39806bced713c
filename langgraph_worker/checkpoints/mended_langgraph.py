"""Which LangGraph is changed before a graph runs on it: only an older one. Of a newer one nothing private is used."""

from __future__ import annotations

from importlib.metadata import version

from packaging.version import Version

_NEEDS_NOTHING = Version("1.2.20")


def mend_older_langgraph() -> None:
    """Change the LangGraph of this process, if it is an older one. Calling twice is harmless."""
    found = Version(version("langgraph"))
    if found < _NEEDS_NOTHING:
        from langgraph_worker.checkpoints.older_langgraph import mend

        mend(found)
