from __future__ import annotations

import asyncio
import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from confluent_kafka.admin import NewPartitions

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.reply import record_in
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger
from airflow_provider_langgraph.waiting import catch_up, consumer_thread
from airflow_provider_langgraph.waiting.shared_consumer import shared_consumer
from tests.support.reply_routing import is_answered, wait_for_result
from workflow_events import WorkflowResultEvent
from workflow_events.codec import decode_result, encode
from workflow_events.errors import DecodeError

pytestmark = pytest.mark.integration
log = logging.getLogger(__name__)
NOW = datetime.now(UTC).isoformat()


def kafka_threads():
    """The threads of consumers: the one that sends cancels outlives the last message by half a minute."""
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("langgraph-")]
    return [thread for thread in threads if thread.name != "langgraph-control"]


class TestNeverMissed:
    async def test_a_reply_that_comes_while_waiting(self, exchange):
        async with exchange.listening() as consumer:
            handle = exchange.ask()
            reply = consumer.wait(handle)
            exchange.answer(handle)
            assert is_answered(await reply, handle)

    async def test_a_reply_that_came_before_the_listener_was_there(self, exchange):
        handle = exchange.ask()
        exchange.answer(handle)
        assert (await wait_for_result(handle, log)).correlation_id == handle.correlation_id

    async def test_a_reply_that_the_listener_saw_before_its_waiter_came(self, exchange):
        async with exchange.listening() as consumer:
            early, marker = exchange.ask(), exchange.ask()
            waiting = consumer.wait(marker)
            exchange.answer(early)
            exchange.answer(marker)
            await waiting
            assert is_answered(await consumer.wait(early), early)

    async def test_a_restart_reads_back_once_for_all(self, exchange, caplog):
        handles = [exchange.ask() for _ in range(3)]
        handles += [
            RequestHandle(
                **{name: getattr(handles[0], name) for name in handles[0].__dataclass_fields__}
                | {"correlation_id": uuid4()}
            )
            for _ in range(200)
        ]
        exchange.answer(*handles)
        replies = await asyncio.gather(*(wait_for_result(handle, log) for handle in handles))
        assert [reply.correlation_id for reply in replies] == [handle.correlation_id for handle in handles]

    async def test_late_and_early_waiters_of_one_request_both_get_it(self, exchange):
        async with exchange.listening() as consumer:
            handle = exchange.ask()
            one, two = consumer.wait(handle), consumer.wait(handle)
            exchange.answer(handle)
            assert is_answered(await one, handle)
            assert is_answered(await two, handle)
            assert is_answered(await consumer.wait(handle), handle)

    async def test_the_first_of_repeated_replies_counts(self, exchange):
        handle = exchange.ask()
        exchange.answer(handle, result="first")
        exchange.answer(handle, result="second")
        assert (await wait_for_result(handle, log)).result == "first"

    async def test_partitions_that_were_added_are_read_from_their_start(self, exchange, kafka, monkeypatch):
        monkeypatch.setattr("airflow_provider_langgraph.waiting.reply_router.HOUSEKEEPING_SECONDS", 0.2)
        async with exchange.listening() as consumer:
            handle = exchange.ask()
            grown = len(handle.start_offsets) + 2
            admin = kafka.admin
            admin.create_partitions([NewPartitions(exchange.topic, grown)])[exchange.topic].result(10)
            waiting = consumer.wait(handle)
            exchange.answer(handle, partition=grown - 1)
            assert is_answered(await waiting, handle)

    @pytest.mark.parametrize("fields", [{"cluster": "another"}, {"start_offsets": dict.fromkeys(range(12), 10**9)}])
    async def test_start_offsets_that_mean_nothing_here_cost_a_full_read(self, exchange, fields):
        handle = exchange.ask()
        exchange.answer(handle)
        moved = exchange.ask(handle.correlation_id, **fields)
        assert (await wait_for_result(moved, log)).correlation_id == handle.correlation_id


class TestOthers:
    async def test_what_is_not_ours_disturbs_no_waiter(self, exchange):
        async with exchange.listening() as consumer:
            handle = exchange.ask()
            waiting = consumer.wait(handle)
            exchange.answer(exchange.ask())
            exchange.answer(exchange.ask(), value=b"\x00garbage", headers=[])
            exchange.answer(exchange.ask(), value=b"{", headers=[("correlation-id", b"\xff\xfe")])
            exchange.answer(exchange.ask(), value=b"x" * 900_000)
            exchange.answer(handle)
            assert is_answered(await waiting, handle)

    async def test_a_reply_that_cannot_be_read_is_a_named_error(self, exchange):
        handle = exchange.ask()
        exchange.answer(handle, value=b"{}")
        with pytest.raises(DecodeError, match=r"field 'correlation_id'"):
            await wait_for_result(handle, log)

    async def test_a_reply_to_another_request_under_our_name_is_a_named_error(self, exchange):
        handle, other = exchange.ask(), exchange.ask()
        body = encode(
            WorkflowResultEvent(
                correlation_id=other.correlation_id, workflow_id="d", workflow_run_id="r", status="success"
            )
        )
        exchange.answer(handle, value=body.value)
        with pytest.raises(DecodeError, match=r"differs from the correlation-id header"):
            await wait_for_result(handle, log)

    async def test_the_last_of_two_correlation_ids_counts(self, exchange):
        async with exchange.listening() as consumer:
            named, not_named = exchange.ask(), exchange.ask()
            waiting, other = consumer.wait(named), consumer.wait(not_named)
            both = [("correlation-id", str(one.correlation_id).encode()) for one in (not_named, named)]
            exchange.answer(named, headers=both)
            assert is_answered(await waiting, named)
            assert not other.done()

    async def test_a_waiter_that_leaves_takes_no_other_with_it(self, exchange):
        async with exchange.listening() as consumer:
            leaves, stays = exchange.ask(), exchange.ask()
            leaving, staying = consumer.wait(leaves), consumer.wait(stays)
            leaving.cancel()
            exchange.answer(leaves)
            exchange.answer(stays)
            assert is_answered(await staying, stays)


class TestCost:
    async def test_many_waiters_share_one_consumer_which_ends_with_the_last(self, exchange):
        async with exchange.listening():
            handle = exchange.ask()
            handles = [RequestHandle.from_dict(handle.to_dict() | {"correlation_id": str(uuid4())}) for _ in range(300)]
            waiting = [asyncio.create_task(wait_for_result(one, log)) for one in handles]
            exchange.answer(*handles[:100])
            await asyncio.gather(*waiting[:100])
            assert len([thread for thread in kafka_threads() if "results" in thread.name]) == 1
            exchange.answer(*handles[100:])
            await asyncio.gather(*waiting)
        for thread in kafka_threads():
            await asyncio.to_thread(thread.join, 10)
        assert kafka_threads() == []

    async def test_a_read_back_that_fails_is_tried_again_at_leisure(self, exchange, monkeypatch):
        began = []
        exchange.answer(exchange.ask())  # something older than the consumer, to be read back
        async with exchange.listening() as consumer:
            monkeypatch.setattr(catch_up.CatchUpThread, "_read", lambda self, reader: began.append(self) or 1 / 0)
            waiting = consumer.wait(exchange.ask(start_offsets={}))
            while len(began) < 3:
                await asyncio.wait({waiting}, timeout=0.05)
            assert "reading" in consumer.trouble
            assert "back failed: ZeroDivisionError" in consumer.trouble
        with pytest.raises(WaitError, match="closed"):
            await waiting


class TestRefused:
    @pytest.fixture(autouse=True)
    def soon_believed(self, monkeypatch):
        monkeypatch.setattr(consumer_thread, "HOPELESS_SECONDS", 0.5)

    async def test_a_topic_that_does_not_exist(self, exchange):
        async with shared_consumer(exchange.settings, "no-such-results") as consumer:
            with pytest.raises(WaitError, match=r"no-such-results: .*does not exist"):
                await consumer.wait(exchange.ask())

    async def test_a_wrong_password(self, exchange, sasl):
        async with shared_consumer(sasl | {"sasl.password": "wrong"}, exchange.topic) as consumer:
            with pytest.raises(WaitError, match="Kafka refuses the credentials"):
                await consumer.wait(exchange.ask())

    async def test_a_broker_that_is_away_is_waited_for_until_the_deadline(self, exchange, monkeypatch, caplog):
        monkeypatch.setattr("airflow_provider_langgraph.requests.deadline.GRACE", timedelta(0))
        monkeypatch.setattr("airflow_provider_langgraph.requests.deadline.LEAST_WAIT", timedelta(0))
        monkeypatch.setattr("airflow_provider_langgraph.waiting.reply_wait.LOOK_SECONDS", 0.1)
        handle = exchange.ask(seconds=1)
        monkeypatch.setenv(
            "AIRFLOW_CONN_KAFKA_DEFAULT",
            json.dumps({"conn_type": "kafka", "extra": {"bootstrap.servers": "127.0.0.1:1"}}),
        )
        with pytest.raises(TimeoutError):
            await wait_for_result(handle, log)


class TestTrigger:
    async def test_it_fires_once_with_the_reply(self, exchange):
        handle = exchange.ask()
        exchange.answer(handle)
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "result"
        assert decode_result(record_in(event.payload)).correlation_id == handle.correlation_id

    async def test_a_trigger_that_starts_after_the_deadline_still_finds_the_reply(self, exchange):
        handle = exchange.ask(seconds=-120)
        exchange.answer(handle)
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "result"

    async def test_a_connection_that_cannot_work_is_reported_as_such(self, exchange, monkeypatch):
        handle = exchange.ask()
        extra = {"bootstrap.servers": "b:1", "acks": "0"}
        monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka", "extra": extra}))
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "refused"
        assert "acks = '0'" in event.payload["error"]

    async def test_it_says_so_when_no_answer_comes(self, exchange, monkeypatch):
        monkeypatch.setattr("airflow_provider_langgraph.requests.deadline.LEAST_WAIT", timedelta(seconds=1))
        handle = exchange.ask(seconds=-120)
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "silence"
        assert event.payload["heard"] == ""

    async def test_it_says_so_when_it_cannot_wait(self, exchange, monkeypatch):
        handle = exchange.ask(results_topic="no-such-results")
        monkeypatch.setattr(consumer_thread, "HOPELESS_SECONDS", 0.5)
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "broken"
        assert "no-such-results" in event.payload["error"]
