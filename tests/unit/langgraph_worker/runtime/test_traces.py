"""Tracing as a worker opens and closes it: it never ends a worker, and never holds one up."""

from __future__ import annotations

import logging
import threading
from contextlib import AsyncExitStack

import pytest

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.runtime import traces
from langgraph_worker.runtime.traces import open_tracing
from langgraph_worker.settings.load import load_settings
from langgraph_worker.telemetry.traces.make_tracing import TraceTargets
from langgraph_worker.telemetry.traces.port import FLUSH_THREAD, Both, NoTracing

TARGETS = TraceTargets(exporters=("otlp_proto_http",))


class Stuck(NoTracing):
    """Its receiver takes nothing."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def close(self) -> None:
        self.free.wait()


def join(stuck: Stuck) -> None:
    stuck.free.set()
    for thread in threading.enumerate():
        if thread.name == FLUSH_THREAD:
            thread.join()


class Closed(NoTracing):
    """Its receiver takes all."""

    def __init__(self) -> None:
        self.is_closed = threading.Event()

    def close(self) -> None:
        self.is_closed.set()


class Broken(NoTracing):
    def close(self) -> None:
        raise OSError("disk")


def use(monkeypatch: pytest.MonkeyPatch, tracing: object, targets: TraceTargets = TARGETS) -> None:
    def make(*_: object, **__: object) -> object:
        if isinstance(tracing, Exception):
            raise tracing
        return tracing

    monkeypatch.setattr(traces, "trace_targets", lambda: targets)
    monkeypatch.setattr(traces, "make_tracing", make)


async def test_a_receiver_that_takes_nothing_holds_up_no_stop(monkeypatch, caplog):
    stuck = Stuck()
    use(monkeypatch, stuck)
    monkeypatch.setattr(traces, "_CLOSE_SECONDS", 0.01)
    async with AsyncExitStack() as stack:
        assert open_tracing(stack, load_settings({}), Redactor()) is stuck
    assert "the last traces are lost" in caplog.text
    join(stuck)


@pytest.mark.parametrize("stuck_first", [True, False])
async def test_a_receiver_that_takes_nothing_keeps_the_other_from_nothing(monkeypatch, stuck_first):
    stuck, other = Stuck(), Closed()
    use(monkeypatch, Both(stuck, other) if stuck_first else Both(other, stuck))
    async with AsyncExitStack() as stack:
        open_tracing(stack, load_settings({}), Redactor())
        monkeypatch.setattr(traces, "_CLOSE_SECONDS", 0.01)
    assert other.is_closed.wait(10)
    join(stuck)


@pytest.mark.parametrize("broken_first", [True, False])
async def test_what_fails_while_one_of_two_closes_is_logged(monkeypatch, caplog, broken_first):
    other = Closed()
    use(monkeypatch, Both(Broken(), other) if broken_first else Both(other, Broken()))
    async with AsyncExitStack() as stack:
        open_tracing(stack, load_settings({}), Redactor())
    assert other.is_closed.is_set()
    assert "traces may be lost" in caplog.text


async def test_what_fails_while_it_closes_is_logged(monkeypatch, caplog):
    use(monkeypatch, Broken())
    async with AsyncExitStack() as stack:
        open_tracing(stack, load_settings({}), Redactor())
    assert "traces may be lost" in caplog.text


async def test_variables_that_an_exporter_refuses_end_no_worker(monkeypatch, caplog):
    use(monkeypatch, ValueError("wrong timeout"))
    async with AsyncExitStack() as stack:
        assert isinstance(open_tracing(stack, load_settings({}), Redactor()), NoTracing)
    assert "no traces: ValueError: wrong timeout" in caplog.text


async def test_what_has_no_effect_is_said_once_at_the_start(monkeypatch, caplog):
    use(monkeypatch, NoTracing(), TraceTargets(problems=("X is set, but Y is missing. Install Z",)))
    with caplog.at_level(logging.WARNING):
        async with AsyncExitStack() as stack:
            open_tracing(stack, load_settings({}), Redactor())
    assert [record.message for record in caplog.records] == ["X is set, but Y is missing. Install Z"]
