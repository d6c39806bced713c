"""The supervisor: the first part that fails stops the worker, and the stop's steps have bounds."""

from __future__ import annotations

import asyncio

import pytest

from langgraph_worker.errors import BrokerError
from langgraph_worker.runtime.supervisor import Supervisor, wait_and_complain, wait_within


async def fail(error: Exception) -> None:
    raise error


async def test_the_first_failure_requests_the_stop_and_is_kept(caplog):
    supervisor = Supervisor()
    first, second = BrokerError("away"), ValueError("later")
    failing = supervisor.start("outbox", fail(first))
    waiting = supervisor.start("intake", asyncio.Event().wait())
    await supervisor.stop_requested()
    supervisor.watch("producer", asyncio.ensure_future(fail(second)))
    await supervisor.end_all()
    assert supervisor.failure is first
    assert (failing.has_failed, waiting.has_failed) == (True, False)
    assert "outbox failed: away" in caplog.text


async def test_a_part_that_ends_or_is_cancelled_is_no_failure():
    supervisor = Supervisor()
    ended = supervisor.start("executor", asyncio.sleep(0))
    cancelled = supervisor.start("leases", asyncio.Event().wait())
    await ended.wait()
    cancelled.cancel()
    await cancelled.wait()
    assert supervisor.failure is None
    supervisor.request_stop()
    await supervisor.stop_requested()
    await supervisor.end_all()


@pytest.mark.parametrize("work", [lambda: asyncio.Event().wait(), lambda: fail(BrokerError("it is away"))])
async def test_a_step_of_the_stop_that_does_not_succeed_is_logged_and_passed(work, caplog):
    await wait_within(0.01, work(), "the group is not left:")
    assert "the group is not left:" in caplog.text


async def test_a_step_of_the_start_fails_with_its_own_error():
    with pytest.raises(BrokerError, match="away"):
        await wait_and_complain(fail(BrokerError("away")), "not yet")
