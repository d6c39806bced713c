"""The page of spans names every attribute that the worker sets."""

from __future__ import annotations

import re
from pathlib import Path

import langgraph_worker.telemetry.traces as package

ROOT = Path(package.__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "trace-spans.md"


def test_every_attribute_is_documented_and_no_other():
    code = "\n".join(path.read_text() for path in Path(package.__file__).parent.glob("*.py"))
    own = set(re.findall(r'"((?:gen_ai|langgraph|airflow|error)\.[a-z_.]+)"', code))
    documented = set(re.findall(r"`((?:gen_ai|langgraph|airflow|error)\.[a-z_.]+[a-z])`", PAGE.read_text()))
    assert own == documented
