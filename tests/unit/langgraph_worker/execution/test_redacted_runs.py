"""What the store keeps of a run to be looked at, and its result, redacted; what the run goes on from is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.telemetry.progress import Progress
from tests.support.runs import Desk, State, chain, opened
from tests.unit.langgraph_worker.telemetry.test_progress import Notices, writes
from workflow_events.results import ResultStatus

SECRET = "sk-12345678"


def hides_names(value: Any, place: str, path: str) -> Any:
    return value.replace("Erika", "[name]") if isinstance(value, str) else value


def fails_for_results(value: Any, place: str, path: str) -> Any:
    if place == "result":
        raise KeyError(value)
    return value


def fails_always(value: Any, place: str, path: str) -> Any:
    raise KeyError(value)


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


def redacting(desk: Desk, hook: Any = hides_names, notices: Notices | None = None) -> Desk:
    redactor, make = Redactor([SECRET], hook), desk.runner

    def runner(graphs: Graphs) -> Any:
        graphs.redactor = redactor
        made = make(graphs)
        if notices is None:
            return made
        return replace(made, progress=Progress(notices, "progress", None, "w1", 100.0, redactor=redactor))

    return replace(desk, runner=runner)


def says(seen: list[Any]) -> Callable[[State], State]:
    def say(state: State) -> State:
        seen.append(state["value"])
        return {"log": [f"{state['value']} has {SECRET}"]}

    return say


async def test_steps_and_results_are_redacted_and_nodes_get_what_was_sent(plain: Desk) -> None:
    seen: list[Any] = []
    desk = redacting(plain)
    outcome = await desk.run(await desk.claim("g", {"value": "Erika"}), chain(a=says(seen), b=says(seen)))
    assert seen == ["Erika", "Erika"]
    assert outcome.result.result == {"value": "[name]", "log": ["[name] has ***"] * 2}
    steps = {step["node"]: step for step in desk.steps()}
    assert steps["b"]["input"] == {"value": "[name]", "log": ["[name] has ***"]}
    assert steps["b"]["output"] == {"log": ["[name] has ***"]}


async def test_what_is_cut_from_a_step_is_cut_after_it_is_redacted(plain: Desk) -> None:
    """A secret that a cut has halved would not be found."""
    desk = redacting(plain)

    def much(state: State) -> State:
        return {"log": ["x" * (100 - len('{"log":["sk-1')) + SECRET + "y" * 200]}

    await desk.run(await desk.claim("g"), chain(a=much))
    (step,) = desk.steps()
    assert step["output"]["begins"].endswith("x***y")


async def test_errors_and_their_rows_are_redacted(plain: Desk) -> None:
    desk = redacting(plain)

    def fail(state: State) -> State:
        raise ValueError(f"Erika has {SECRET}")

    outcome = await desk.run(await desk.claim("g"), chain(a=fail))
    assert outcome.failure is not None
    assert outcome.result.error == "node 'a': ValueError: [name] has ***"
    kept = f"{outcome.failure.message} {outcome.failure.traceback} {outcome.result.traceback} {desk.steps()}"
    assert "Erika" not in kept
    assert SECRET not in kept


async def test_a_result_that_is_not_redacted_ends_the_run_without_it(plain: Desk) -> None:
    desk = redacting(plain, fails_for_results)
    outcome = await desk.run(await desk.claim("g", {"value": "Erika"}), chain(a=says([])))
    result = outcome.result
    assert (result.status, result.error_type, result.result) == (ResultStatus.ERROR, "redaction_failed", None)
    assert result.error is not None
    assert "raised a KeyError, so that nothing of the run's success may leave" in result.error
    assert outcome.failure is not None
    assert outcome.failure.error_type == "redaction_failed"
    assert "Erika" not in str(outcome)


async def test_an_error_that_is_not_redacted_is_repeated_all_the_same(plain: Desk) -> None:
    desk = redacting(plain, fails_for_results)

    def fail(state: State) -> State:
        raise httpx.ConnectError("Erika")

    outcome = await desk.only_run(await desk.claim("g"), chain(a=fail))
    assert outcome.back_off is not None
    assert outcome.failure is not None
    assert outcome.failure.error_type == "redaction_failed"
    assert "Erika" not in f"{outcome.failure}{outcome.result}"


async def test_progress_is_redacted_once_and_whole(plain: Desk) -> None:
    notices, calls = Notices(), list[Any]()

    def hook(value: Any, place: str, path: str) -> Any:
        calls.append((value, place))
        return hides_names(value, place, path)

    desk = redacting(plain, hook, notices)
    await desk.run(await desk.claim("g"), chain(a=writes({"for": "Erika", "key": SECRET, "more": "z" * 20_000})))
    (custom,) = [body["data"] for _, body in notices.sent if body["kind"] == "custom"]
    assert custom["cut"] is True
    assert custom["begins"].startswith('{"for":"[name]","key":"***","more":"zzz')
    assert calls.count(("Erika", "progress")) == 1


async def test_what_is_cut_from_an_error_is_cut_after_it_is_redacted(plain: Desk) -> None:
    desk = redacting(plain)

    def fail(state: State) -> State:
        raise ValueError("x" * (4_000 - len("node 'a': ValueError: ") - 4) + SECRET + "y" * 200)

    outcome = await desk.run(await desk.claim("g"), chain(a=fail))
    assert outcome.result.error is not None
    assert outcome.result.error.endswith("xx***y ... (199 more characters in the run store)")


async def test_a_result_with_half_a_character_ends_the_run(plain: Desk) -> None:
    desk = redacting(plain, None)
    outcome = await desk.run(await desk.claim("g"), chain(a=lambda state: {"log": ["a \ud800"]}))
    assert outcome.result.error_type == "result_not_json"


@pytest.mark.parametrize("hook", [lambda value, place, path: None, fails_always])
async def test_progress_keeps_its_figures_whatever_the_hook_does(plain: Desk, hook: Any) -> None:
    """Airflow's side, and ``try``, read them."""
    notices = Notices()
    await redacting(plain, hook, notices).run(await plain.claim("g", {"value": "Erika"}), chain(a=says([])))
    data = [body["data"] for _, body in notices.sent if body["kind"] == "node_finished"]
    assert [(one["status"], one["finished"], type(one["seconds"])) for one in data] == [("COMPLETED", 1, float)]


async def test_errors_in_progress_are_redacted(plain: Desk) -> None:
    notices = Notices()

    def fail(state: State) -> State:
        raise ValueError(f"Erika has {SECRET}")

    await redacting(plain, notices=notices).run(await plain.claim("g"), chain(a=fail))
    assert [body["data"]["error"] for _, body in notices.sent if body["kind"] == "node_finished"] == [
        "ValueError: [name] has ***"
    ]
