"""Tests of what an older LangGraph lacks are left out there, and say so."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from packaging.version import Version


def needs_langgraph(since: str, feature: str) -> pytest.MarkDecorator:
    """Leave a test out below the version ``since``: a LangGraph there has no such feature."""
    found = version("langgraph")
    return pytest.mark.skipif(Version(found) < Version(since), reason=f"LangGraph {found} has no {feature}")
