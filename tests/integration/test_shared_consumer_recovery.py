"""What a consumer does when a results topic is not what it was: with a real Kafka."""

from __future__ import annotations

import asyncio
import logging
import threading
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger
from airflow_provider_langgraph.waiting import catch_up
from airflow_provider_langgraph.waiting.cancel_on_kill import send_cancel
from airflow_provider_langgraph.waiting.shared_consumer import shared_consumer
from devtools.broker import ChildBroker
from tests.support.logs import KafkaLog
from tests.support.reply_routing import is_answered, wait_for_result
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
    monkeypatch.setattr("airflow_provider_langgraph.waiting.reply_router.HOUSEKEEPING_SECONDS", 0.2)


class TestReadBack:
    async def test_waiters_that_trickle_in_share_one_pass(self, exchange, monkeypatch):
        first = exchange.ask()
        handles = [like(first) for _ in range(30)]
        exchange.answer(*handles)
        begun = []
        begin = catch_up.CatchUp.begin
        monkeypatch.setattr(
            catch_up.CatchUp, "begin", lambda self, needs: begun.append(len(needs)) or begin(self, needs)
        )
        async with shared_consumer(exchange.settings, exchange.topic) as consumer:
            assert is_answered(await consumer.wait(handles[0]), handles[0])
            for handle in handles[1:]:  # each comes when the one before it has been served
                assert is_answered(await consumer.wait(handle), handle)
        assert begun == [1]

    async def test_one_that_comes_while_it_reads_joins_in(self, exchange, monkeypatch):
        first = exchange.ask()
        handles = [like(first) for _ in range(50)]
        exchange.answer(*handles)
        entered, released = threading.Event(), threading.Event()
        step = catch_up.CatchUp.step

        def slow_step(self):
            entered.set()
            assert released.wait(15)
            return step(self)

        begun = []
        begin = catch_up.CatchUp.begin
        monkeypatch.setattr(
            catch_up.CatchUp, "begin", lambda self, needs: begun.append(len(needs)) or begin(self, needs)
        )
        monkeypatch.setattr(catch_up.CatchUp, "step", slow_step)
        async with shared_consumer(exchange.settings, exchange.topic) as consumer:
            early = consumer.wait(handles[0])
            await asyncio.to_thread(entered.wait, 15)
            late = [consumer.wait(handle) for handle in handles[1:]]
            released.set()
            for handle, record in zip(handles, await asyncio.gather(early, *late), strict=True):
                assert is_answered(record, handle)
        assert begun == [1]


class TestGone:
    async def test_a_reply_that_retention_removed_is_asked_for_again(self, exchange, kafka):
        handle, other = exchange.ask(), exchange.ask()
        exchange.answer(handle)
        ends = {number: exchange.ask().start_offsets[number] for number in handle.start_offsets}
        removed = [TopicPartition(exchange.topic, number, offset) for number, offset in ends.items() if offset]
        for future in kafka.admin.delete_records(removed).values():
            future.result(15)
        waiting = asyncio.create_task(wait_for_result(handle, log))
        [query] = await asyncio.to_thread(controls, kafka, 1)
        assert query.correlation_ids == [handle.correlation_id]
        exchange.answer(other, handle)  # the workers publish it again
        assert (await waiting).correlation_id == handle.correlation_id

    async def test_a_backlog_that_is_too_long_is_not_read(self, exchange, kafka, monkeypatch):
        monkeypatch.setattr(catch_up, "MOST_RECORDS", 3)
        handle = exchange.ask()
        exchange.answer(handle, *[exchange.ask() for _ in range(20)])
        waiting = asyncio.create_task(wait_for_result(handle, log))
        [query] = await asyncio.to_thread(controls, kafka, 1)
        assert query.correlation_ids == [handle.correlation_id]
        exchange.answer(handle)
        assert (await waiting).correlation_id == handle.correlation_id

    @pytest.mark.usefixtures("soon")
    async def test_a_topic_that_is_deleted_and_created_anew_under_a_waiter(self, exchange, kafka):
        anew = KafkaLog(kafka)
        exchange.topic = anew.name
        for _ in range(5):
            exchange.answer(exchange.ask())
        handle = exchange.ask()
        async with exchange.listening() as consumer:
            waiting = consumer.wait(handle)
            anew.recreate()
            [query] = await asyncio.to_thread(controls, kafka, 1)
            assert handle.correlation_id in query.correlation_ids
            kafka.produce(exchange.topic, exchange.encoded(handle), partition=0)  # before any of the old offsets
            assert is_answered(await waiting, handle)


class TestOdd:
    async def test_a_reply_of_ten_megabytes_is_a_named_error_to_its_own_task_alone(self, exchange, kafka):
        large = f"{kafka.prefix}-large"
        kafka.create(large, config={"max.message.bytes": "20000000"})
        exchange.topic = large
        exchange.allow(20_000_000)
        big, small = exchange.ask(), exchange.ask()
        async with exchange.listening() as consumer:
            waiting = consumer.wait(small)
            trigger = WorkflowResultTrigger(handle=big.to_dict(), not_before=big.asked_at.isoformat())
            firing = asyncio.create_task(anext(trigger.run()))
            exchange.answer(big, value=b'"' + b"x" * 10_000_000 + b'"')
            exchange.answer(small)
            assert is_answered(await waiting, small)
            event = await firing
        assert event.payload["kind"] == "broken"
        assert "it has 10000002 bytes, and a trigger passes on 4194304 at most" in event.payload["error"]

    async def test_a_consumer_that_breaks_is_replaced_and_no_waiter_notices(self, exchange, monkeypatch):
        handle = exchange.ask()
        async with exchange.listening():
            waiting = asyncio.create_task(wait_for_result(handle, log))
            with monkeypatch.context() as broken:
                failed = threading.Event()

                def fail(self):
                    failed.set()
                    raise ZeroDivisionError

                broken.setattr("airflow_provider_langgraph.waiting.reply_router.ReplyRouter.read", fail)
                await asyncio.to_thread(failed.wait, 15)
            exchange.answer(handle)
            assert (await waiting).correlation_id == handle.correlation_id

    @pytest.mark.parametrize("how", ["while it is tried", "when it was given up"])
    async def test_a_password_that_was_corrected_is_used(self, exchange, sasl, monkeypatch, caplog, how):
        if how == "while it is tried":
            monkeypatch.setattr("airflow_provider_langgraph.waiting.reply_wait.LOOK_SECONDS", 0.1)
            monkeypatch.setattr("airflow_provider_langgraph.waiting.connection_cache.FRESH_SECONDS", 0.1)
        else:
            monkeypatch.setattr("airflow_provider_langgraph.waiting.consumer_thread.HOPELESS_SECONDS", 1.0)
        handle = exchange.ask()
        exchange.connect(monkeypatch, sasl | {"sasl.password": "old"})
        waiting = asyncio.create_task(wait_for_result(handle, log))
        refused = "Kafka refuses the credentials"
        while not any(refused in record.getMessage() for record in caplog.records):
            await asyncio.wait({waiting}, timeout=0.05)
        exchange.connect(monkeypatch, sasl)
        exchange.answer(handle)
        assert (await waiting).correlation_id == handle.correlation_id


class TestCancel:
    async def test_a_broker_that_stands_still_holds_nothing_up_and_gets_the_cancel_later(self, exchange, kafka, broker):
        if not isinstance(broker, ChildBroker):
            pytest.skip("the broker is not ours to stop")
        handle = exchange.ask()
        with broker.suspended():
            send_cancel(handle, exchange.settings, "killed")  # on_kill has about a second for this
            await asyncio.sleep(ACKNOWLEDGES_AFTER)
        [cancel] = await asyncio.to_thread(controls, kafka, 1)
        assert (cancel.correlation_id, cancel.reason) == (handle.correlation_id, "killed")

    async def test_many_at_once(self, exchange, kafka):
        handles = [like(exchange.ask())]
        handles += [like(handles[0]) for _ in range(199)]
        for handle in handles:
            send_cancel(handle, exchange.settings, "killed")
        found = await asyncio.to_thread(controls, kafka, 200)
        assert {cancel.correlation_id for cancel in found} == {handle.correlation_id for handle in handles}

    async def test_a_consumer_of_no_topic_does_not_keep_a_cancel_from_going_out(self, exchange, kafka, monkeypatch):
        monkeypatch.setattr("airflow_provider_langgraph.waiting.consumer_thread.HOPELESS_SECONDS", 0.2)
        async with shared_consumer(exchange.settings, "no-such-results") as consumer:
            handle = exchange.ask()
            send_cancel(handle, exchange.settings, "killed")
            with pytest.raises(WaitError):
                await consumer.wait(handle)
        [cancel] = await asyncio.to_thread(controls, kafka, 1)
        assert cancel.correlation_id == handle.correlation_id
