"""What a person may see has a row with its remedy, and what the page quotes is what the code writes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from uuid import UUID

import pytest

from airflow_provider_langgraph import exceptions
from langgraph_worker.domain.faults import FAULTS, UNKNOWN_GRAPH
from langgraph_worker.domain.known_graphs import unknown_graph_in_words
from workflow_events import WorkflowResultEvent

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text()
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import exception_rows  # noqa: E402 - the docs' own modules
import log_texts  # noqa: E402

TEXTS = log_texts.log_texts(log_texts.AIRFLOW_SIDE)


@pytest.mark.parametrize("found", TEXTS, ids=lambda found: found.text[:40])
def test_each_warning_of_airflows_side_has_a_remedy(found: log_texts.LogText) -> None:
    assert log_texts.remedy_of(found.text), (
        f"add a row for {found.text!r} ({found.file.name}) to docs/_ext/log_texts.py"
    )


@pytest.mark.parametrize("part", log_texts.REMEDIES)
def test_each_remedy_is_of_a_text_that_the_code_writes(part: str) -> None:
    meant = [found.text for found in TEXTS if part in found.text]
    assert any(log_texts.REMEDIES[part] == log_texts.remedy_of(text) for text in meant), "no log has this text any more"


def test_the_texts_that_are_put_together_are_found() -> None:
    assert sum("No worker has reported in …" in found.text for found in TEXTS) == 2
    assert len(TEXTS) > 20


def test_each_exception_has_a_row() -> None:
    rows = {row.name: row for row in exception_rows.exception_rows()}
    assert (
        rows.keys()
        == {name for name in exceptions.__all__ if not name.startswith("Final")}
        == {*exception_rows.REMEDIES}
    )
    assert all(row.meaning and row.remedy for row in rows.values())
    assert rows["RunFailed"].retried == "yes; not as ``FinalRunFailed``"
    assert rows["SettingsError"].retried == "no"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_has_a_remedy(fault) -> None:
    assert fault.remedy
    assert not fault.remedy.endswith(".")


def test_the_quoted_error_is_what_a_task_raises() -> None:
    [quoted] = re.findall(r"^FinalRun.*$", PAGE, re.MULTILINE)
    result = WorkflowResultEvent(
        correlation_id=UUID(re.search(r"request ([0-9a-f-]+)", quoted)[1]),
        workflow_id="d",
        workflow_run_id="r",
        status=UNKNOWN_GRAPH.status,
        error=unknown_graph_in_words("cuont", ["count"], 60),
        error_type=UNKNOWN_GRAPH.name,
        retriable=UNKNOWN_GRAPH.retriable,
    )
    raised = exceptions.error_for(result)
    assert quoted == f"{type(raised).__name__}: {raised}"


@pytest.mark.parametrize("quoted", ["taken by worker", "The worker says of this request", "no events are taken in"])
def test_what_the_page_looks_for_is_written(quoted: str) -> None:
    code = [
        path.read_text()
        for side in ("airflow_provider_langgraph", "langgraph_worker")
        for path in (ROOT / side).rglob("*.py")
    ]
    assert f"`{quoted}`" in PAGE
    assert any(quoted in text for text in code)
