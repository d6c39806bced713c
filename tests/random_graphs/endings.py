"""How a graph may end other than alone."""

from __future__ import annotations

from tests.random_graphs.actions import foreign_thread
from tests.random_graphs.case import Case
from tests.random_graphs.circumstances import TAKEN_BY_NONE
from tests.random_graphs.description import Say, Spend, walk
from workflow_events.results import ResultStatus


def ends_rightly_without_success(case: Case) -> bool:
    """Whether a case that is over ends with an error that it has to end with, or may; and the error names its cause."""
    assert case.result is not None
    if case.result.status in (ResultStatus.SUCCESS, ResultStatus.INTERRUPTED):
        return False
    error = case.result.error or ""
    match case.result.error_type:
        case "not_storable":
            return case.circumstances.is_refused and TAKEN_BY_NONE not in error
        case "result_not_serializable":
            wanted = any(isinstance(one, Say | Spend) and TAKEN_BY_NONE in str(one) for one in walk(case.part))
            return wanted and TAKEN_BY_NONE not in error
        case "graph_changed":
            renamed = case.circumstances.renamed
            return bool(renamed) and any(name.split("|")[-1] == renamed for name in error.split("'")[3::2])
        case "ForeignThreadError":
            is_named = case.result.thread_id is not None and case.result.thread_id in error
            return case.expected.error == "ForeignThreadError" and is_named and foreign_thread("") in error
    return False
