"""A worker that keeps the texts of graphs' exceptions to itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, field_validator

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.exception_texts import traceback_of
from langgraph_worker.domain.graph_traceback import graph_traceback
from langgraph_worker.domain.json_values import describe
from langgraph_worker.execution.runner import RunLimits, Runner
from langgraph_worker.settings.load import load_settings
from tests.support.runs import LIMITS, Desk, State, chain, opened

SECRET = "Ada Lovelace, born 1815"


class Strict(BaseModel):
    value: Any = None

    @field_validator("value")
    @classmethod
    def _refuse(cls, value: Any) -> Any:
        raise ValueError(f"not {value}")


def raises(state: State) -> State:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise ValueError(f"no such person: {SECRET}") from error


@pytest.fixture(params=[True, False], ids=["texts", "types"])
def with_texts(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def desk(with_texts: bool, tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as made:
        checkpoints = Checkpoints(made.store)
        limits = replace(LIMITS, exception_texts=with_texts)
        memories = Memories(made.store)
        yield replace(made, runner=lambda graphs: Runner(graphs, checkpoints, memories, made.store, "w1", limits))


async def test_a_failed_node_shows_its_exceptions_text_only_where_it_may(desk: Any, with_texts: bool) -> None:
    outcome = await desk.run(await desk.claim("g"), chain(a=raises))
    (step,) = desk.steps()
    shown = [
        outcome.result.error,
        outcome.result.traceback,
        outcome.failure.message,
        outcome.failure.traceback,
        step["error"],
    ]
    assert [SECRET in text for text in shown] == [with_texts] * len(shown)
    assert all("ValueError" in text for text in shown)
    assert outcome.result.error_type == "ValueError"
    assert outcome.failure.node == "a"
    assert "in raises" in outcome.failure.traceback
    assert outcome.result.traceback.count(", in raises") == 2  # the error and its cause
    assert "langgraph/" not in outcome.result.traceback


async def test_a_refused_input_is_explained_only_where_it_may_be(desk: Any, with_texts: bool) -> None:
    outcome = await desk.run(await desk.claim("g", {"value": SECRET}), chain(Strict, a=lambda state: {}))
    shown = [outcome.result.error, outcome.failure.message, outcome.failure.traceback]
    assert SECRET not in (outcome.result.traceback or "") or with_texts
    assert [SECRET in text for text in shown] == [with_texts] * len(shown)
    assert outcome.result.error_type == "bad_input"
    assert "ValidationError" in outcome.failure.traceback


def test_the_setting_reaches_the_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RunLimits.from_settings(load_settings({})).exception_texts
    monkeypatch.setenv("LANGGRAPH_WORKER_EXCEPTION_TEXTS", "false")
    assert not RunLimits.from_settings(load_settings({})).exception_texts


def calls_a_model_that_is_away(state: State) -> State:
    httpx.get("http://user:geheim@127.0.0.1:9/v1/chat?key=geheim", trust_env=False)
    return state


async def test_a_model_server_that_is_away_is_named_in_result_and_step(desk: Any, with_texts: bool) -> None:
    outcome = await desk.run(await desk.claim("g"), chain(a=calls_a_model_that_is_away))
    (step,) = desk.steps()
    for text in (outcome.result.error, step["error"]):
        assert ("no connection to 127.0.0.1:9: check that the server runs" in text) == with_texts
        assert "geheim" not in text
    assert (outcome.result.error_type, outcome.result.retriable) == ("ConnectError", True)


def test_an_exception_whose_own_attributes_raise_has_its_frames():
    class Unreadable(Exception):
        def __getattr__(self, name: str) -> Any:
            raise KeyError(name)

        def __str__(self) -> str:
            raise ValueError

    with pytest.raises(Unreadable) as caught:
        raise Unreadable
    shown = (traceback_of(caught.value, with_text=True), graph_traceback(caught.value, with_text=True) or "")
    for text in shown:
        assert "in test_an_exception_whose_own_attributes_raise_has_its_frames" in text
        assert "Unreadable" in text
    assert describe(caught.value) == "Unreadable, which has no text"
