"""What a listener does when a results topic is not what it was: with a real Kafka."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers import backfill
from airflow_provider_langgraph.triggers.cancel import send_cancel
from airflow_provider_langgraph.triggers.listener import shared_listener
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger
from tests.support.logs import KafkaLog
from tests.support.results_desk import is_answered, wait_for_result
from workflow_events.codec import Record, decode_control

pytestmark = pytest.mark.integration

ACKNOWLEDGES_AFTER = 5.0
"""Seconds that a slow broker takes."""

log = logging.getLogger(__name__)


def controls(kafka, count):
    """The first messages of the control topic."""
    return [
        decode_control(Record(kafka.fleet.control, 0, message.offset(), message.value(), message.headers()))
        for message in kafka.read(kafka.fleet.control, count)
    ]


def like(handle, **fields):
    return RequestHandle.from_dict(handle.to_dict() | {"correlation_id": str(uuid4())} | fields)


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr("airflow_provider_langgraph.triggers.desk.HOUSEKEEPING_SECONDS", 0.2)


class TestReadBack:
    async def test_waiters_that_trickle_in_share_one_pass(self, desk, monkeypatch):
        first = desk.ask()
        handles = [like(first) for _ in range(30)]
        desk.answer(*handles)
        begun = []
        begin = backfill.Pass.begin
        monkeypatch.setattr(backfill.Pass, "begin", lambda self, needs: begun.append(len(needs)) or begin(self, needs))
        async with shared_listener(desk.settings, desk.topic) as listener:
            assert is_answered(await listener.wait(handles[0]), handles[0])
            for handle in handles[1:]:  # each comes when the one before it has been served
                assert is_answered(await listener.wait(handle), handle)
        assert begun == [1]

    async def test_one_that_comes_while_it_reads_joins_in(self, desk, monkeypatch):
        first = desk.ask()
        handles = [like(first) for _ in range(50)]
        desk.answer(*handles)
        entered, released = threading.Event(), threading.Event()
        step = backfill.Pass.step

        def slow_step(self):
            entered.set()
            assert released.wait(15)
            return step(self)

        begun = []
        begin = backfill.Pass.begin
        monkeypatch.setattr(backfill.Pass, "begin", lambda self, needs: begun.append(len(needs)) or begin(self, needs))
        monkeypatch.setattr(backfill.Pass, "step", slow_step)
        async with shared_listener(desk.settings, desk.topic) as listener:
            early = listener.wait(handles[0])
            await asyncio.to_thread(entered.wait, 15)
            late = [listener.wait(handle) for handle in handles[1:]]
            released.set()
            for handle, record in zip(handles, await asyncio.gather(early, *late), strict=True):
                assert is_answered(record, handle)
        assert begun == [1]


class TestGone:
    async def test_a_reply_that_retention_removed_is_asked_for_again(self, desk, kafka):
        handle, other = desk.ask(), desk.ask()
        desk.answer(handle)
        ends = {number: desk.ask().start_offsets[number] for number in handle.start_offsets}
        removed = [TopicPartition(desk.topic, number, offset) for number, offset in ends.items() if offset]
        for future in kafka.admin.delete_records(removed).values():
            future.result(15)
        waiting = asyncio.create_task(wait_for_result(handle, log))
        [query] = await asyncio.to_thread(controls, kafka, 1)
        assert query.correlation_ids == [handle.correlation_id]
        desk.answer(other, handle)  # the workers publish it again
        assert (await waiting).correlation_id == handle.correlation_id

    async def test_a_backlog_that_is_too_long_is_not_read(self, desk, kafka, monkeypatch):
        monkeypatch.setattr(backfill, "MOST_RECORDS", 3)
        handle = desk.ask()
        desk.answer(handle, *[desk.ask() for _ in range(20)])
        waiting = asyncio.create_task(wait_for_result(handle, log))
        [query] = await asyncio.to_thread(controls, kafka, 1)
        assert query.correlation_ids == [handle.correlation_id]
        desk.answer(handle)
        assert (await waiting).correlation_id == handle.correlation_id

    @pytest.mark.usefixtures("soon")
    async def test_a_topic_that_is_deleted_and_created_anew_under_a_waiter(self, desk, kafka):
        anew = KafkaLog(kafka)
        desk.topic = anew.name
        for _ in range(5):
            desk.answer(desk.ask())
        handle = desk.ask()
        async with desk.listening() as listener:
            waiting = listener.wait(handle)
            anew.recreate()
            [query] = await asyncio.to_thread(controls, kafka, 1)
            assert handle.correlation_id in query.correlation_ids
            kafka.produce(desk.topic, desk.encoded(handle), partition=0)  # before any of the old offsets
            assert is_answered(await waiting, handle)


class TestOdd:
    async def test_a_reply_of_ten_megabytes_is_a_named_error_to_its_own_task_alone(self, desk, kafka):
        large = f"{kafka.prefix}-large"
        kafka.create(large, config={"max.message.bytes": "20000000"})
        desk.topic = large
        desk.allow(20_000_000)
        big, small = desk.ask(), desk.ask()
        async with desk.listening() as listener:
            waiting = listener.wait(small)
            trigger = WorkflowResultTrigger(handle=big.to_dict(), not_before=big.asked_at.isoformat())
            firing = asyncio.create_task(anext(trigger.run()))
            desk.answer(big, value=b'"' + b"x" * 10_000_000 + b'"')
            desk.answer(small)
            assert is_answered(await waiting, small)
            event = await firing
        assert event.payload["kind"] == "broken"
        assert "it has 10000002 bytes, and a trigger passes on 4194304 at most" in event.payload["error"]

    async def test_a_listener_that_breaks_is_replaced_and_nobody_notices(self, desk, monkeypatch):
        handle = desk.ask()
        async with desk.listening():
            waiting = asyncio.create_task(wait_for_result(handle, log))
            with monkeypatch.context() as broken:
                failed = threading.Event()

                def fail(self):
                    failed.set()
                    raise ZeroDivisionError

                broken.setattr("airflow_provider_langgraph.triggers.desk.ResultDesk.read", fail)
                await asyncio.to_thread(failed.wait, 15)
            desk.answer(handle)
            assert (await waiting).correlation_id == handle.correlation_id

    @pytest.mark.parametrize("how", ["while it is tried", "when it was given up"])
    async def test_a_password_that_was_corrected_is_used(self, desk, sasl, monkeypatch, caplog, how):
        if how == "while it is tried":
            monkeypatch.setattr("airflow_provider_langgraph.triggers.wait.LOOK_SECONDS", 0.1)
            monkeypatch.setattr("airflow_provider_langgraph.triggers.connections.FRESH_SECONDS", 0.1)
        else:
            monkeypatch.setattr("airflow_provider_langgraph.triggers.poll.HOPELESS_SECONDS", 1.0)
        handle = desk.ask()
        desk.connect(monkeypatch, sasl | {"sasl.password": "old"})
        waiting = asyncio.create_task(wait_for_result(handle, log))
        refused = "the broker refused the login"
        while not any(refused in record.getMessage() for record in caplog.records):
            await asyncio.wait({waiting}, timeout=0.05)
        desk.connect(monkeypatch, sasl)
        desk.answer(handle)
        assert (await waiting).correlation_id == handle.correlation_id


class TestCancel:
    async def test_a_broker_that_stands_still_holds_up_nobody_and_gets_the_cancel_later(self, desk, kafka, broker):
        if broker.child is None:
            pytest.skip("the broker is not ours to stop")
        handle = desk.ask()
        broker.child.signal(signal.SIGSTOP)
        try:
            send_cancel(handle, desk.settings, "killed")  # on_kill has about a second for this
            await asyncio.sleep(ACKNOWLEDGES_AFTER)
        finally:
            broker.child.signal(signal.SIGCONT)
        [cancel] = await asyncio.to_thread(controls, kafka, 1)
        assert (cancel.correlation_id, cancel.reason) == (handle.correlation_id, "killed")

    async def test_many_at_once(self, desk, kafka):
        handles = [like(desk.ask())]
        handles += [like(handles[0]) for _ in range(199)]
        for handle in handles:
            send_cancel(handle, desk.settings, "killed")
        found = await asyncio.to_thread(controls, kafka, 200)
        assert {cancel.correlation_id for cancel in found} == {handle.correlation_id for handle in handles}

    async def test_a_listener_of_no_topic_does_not_keep_a_cancel_from_going_out(self, desk, kafka, monkeypatch):
        monkeypatch.setattr("airflow_provider_langgraph.triggers.poll.HOPELESS_SECONDS", 0.2)
        async with shared_listener(desk.settings, "no-such-results") as listener:
            handle = desk.ask()
            send_cancel(handle, desk.settings, "killed")
            with pytest.raises(WaitError):
                await listener.wait(handle)
        [cancel] = await asyncio.to_thread(controls, kafka, 1)
        assert cancel.correlation_id == handle.correlation_id
