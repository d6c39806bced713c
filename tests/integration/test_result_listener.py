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
from airflow_provider_langgraph.handle import RequestHandle
from airflow_provider_langgraph.triggers import backfill, poll
from airflow_provider_langgraph.triggers.listener import shared_listener
from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger, record_in
from tests.support.results_desk import is_answered, wait_for_result
from workflow_events import WorkflowResultEvent
from workflow_events.codec import decode_result, encode
from workflow_events.errors import DecodeError

pytestmark = pytest.mark.integration
log = logging.getLogger(__name__)
NOW = datetime.now(UTC).isoformat()


def kafka_threads():
    """Those of listeners: what sends cancels outlives the last message by half a minute."""
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("langgraph-")]
    return [thread for thread in threads if thread.name != "langgraph-control"]


class TestNeverMissed:
    async def test_a_reply_that_comes_while_waiting(self, desk):
        async with desk.listening() as listener:
            handle = desk.ask()
            reply = listener.wait(handle)
            desk.answer(handle)
            assert is_answered(await reply, handle)

    async def test_a_reply_that_came_before_the_listener_was_there(self, desk):
        handle = desk.ask()
        desk.answer(handle)
        assert (await wait_for_result(handle, log)).correlation_id == handle.correlation_id

    async def test_a_reply_that_the_listener_saw_before_its_waiter_came(self, desk):
        async with desk.listening() as listener:
            early, marker = desk.ask(), desk.ask()
            waiting = listener.wait(marker)
            desk.answer(early)
            desk.answer(marker)
            await waiting
            assert is_answered(await listener.wait(early), early)

    async def test_a_restart_reads_back_once_for_all(self, desk, caplog):
        handles = [desk.ask() for _ in range(3)]
        handles += [
            RequestHandle(
                **{name: getattr(handles[0], name) for name in handles[0].__dataclass_fields__}
                | {"correlation_id": uuid4()}
            )
            for _ in range(200)
        ]
        desk.answer(*handles)
        replies = await asyncio.gather(*(wait_for_result(handle, log) for handle in handles))
        assert [reply.correlation_id for reply in replies] == [handle.correlation_id for handle in handles]

    async def test_late_and_early_waiters_of_one_request_both_get_it(self, desk):
        async with desk.listening() as listener:
            handle = desk.ask()
            one, two = listener.wait(handle), listener.wait(handle)
            desk.answer(handle)
            assert is_answered(await one, handle)
            assert is_answered(await two, handle)
            assert is_answered(await listener.wait(handle), handle)

    async def test_the_first_of_repeated_replies_counts(self, desk):
        handle = desk.ask()
        desk.answer(handle, result="first")
        desk.answer(handle, result="second")
        assert (await wait_for_result(handle, log)).result == "first"

    async def test_partitions_that_were_added_are_read_from_their_start(self, desk, kafka, monkeypatch):
        monkeypatch.setattr("airflow_provider_langgraph.triggers.desk.HOUSEKEEPING_SECONDS", 0.2)
        async with desk.listening() as listener:
            handle = desk.ask()
            grown = len(handle.start_offsets) + 2
            admin = kafka.admin
            admin.create_partitions([NewPartitions(desk.topic, grown)])[desk.topic].result(10)
            waiting = listener.wait(handle)
            desk.answer(handle, partition=grown - 1)
            assert is_answered(await waiting, handle)

    @pytest.mark.parametrize("fields", [{"cluster": "another"}, {"start_offsets": dict.fromkeys(range(12), 10**9)}])
    async def test_start_offsets_that_mean_nothing_here_cost_a_full_read(self, desk, fields):
        handle = desk.ask()
        desk.answer(handle)
        moved = desk.ask(handle.correlation_id, **fields)
        assert (await wait_for_result(moved, log)).correlation_id == handle.correlation_id


class TestOthers:
    async def test_what_is_not_ours_disturbs_nobody(self, desk):
        async with desk.listening() as listener:
            handle = desk.ask()
            waiting = listener.wait(handle)
            desk.answer(desk.ask())
            desk.answer(desk.ask(), value=b"\x00garbage", headers=[])
            desk.answer(desk.ask(), value=b"{", headers=[("correlation-id", b"\xff\xfe")])
            desk.answer(desk.ask(), value=b"x" * 900_000)
            desk.answer(handle)
            assert is_answered(await waiting, handle)

    async def test_a_reply_that_cannot_be_read_is_a_named_error(self, desk):
        handle = desk.ask()
        desk.answer(handle, value=b"{}")
        with pytest.raises(DecodeError, match=r"field 'correlation_id'"):
            await wait_for_result(handle, log)

    async def test_a_reply_to_somebody_else_under_our_name_is_a_named_error(self, desk):
        handle, other = desk.ask(), desk.ask()
        body = encode(
            WorkflowResultEvent(
                correlation_id=other.correlation_id, workflow_id="d", workflow_run_id="r", status="success"
            )
        )
        desk.answer(handle, value=body.value)
        with pytest.raises(DecodeError, match=r"differs from the correlation-id header"):
            await wait_for_result(handle, log)

    async def test_the_last_of_two_correlation_ids_counts(self, desk):
        async with desk.listening() as listener:
            named, not_named = desk.ask(), desk.ask()
            waiting, other = listener.wait(named), listener.wait(not_named)
            both = [("correlation-id", str(one.correlation_id).encode()) for one in (not_named, named)]
            desk.answer(named, headers=both)
            assert is_answered(await waiting, named)
            assert not other.done()

    async def test_a_waiter_that_leaves_takes_nobody_with_it(self, desk):
        async with desk.listening() as listener:
            leaves, stays = desk.ask(), desk.ask()
            leaving, staying = listener.wait(leaves), listener.wait(stays)
            leaving.cancel()
            desk.answer(leaves)
            desk.answer(stays)
            assert is_answered(await staying, stays)


class TestCost:
    async def test_many_waiters_share_one_consumer_which_ends_with_the_last(self, desk):
        async with desk.listening():
            handle = desk.ask()
            handles = [RequestHandle.from_dict(handle.to_dict() | {"correlation_id": str(uuid4())}) for _ in range(300)]
            waiting = [asyncio.create_task(wait_for_result(one, log)) for one in handles]
            desk.answer(*handles[:100])
            await asyncio.gather(*waiting[:100])
            assert len([thread for thread in kafka_threads() if "results" in thread.name]) == 1
            desk.answer(*handles[100:])
            await asyncio.gather(*waiting)
        for thread in kafka_threads():
            await asyncio.to_thread(thread.join, 10)
        assert kafka_threads() == []

    async def test_a_read_back_that_fails_is_tried_again_at_leisure(self, desk, monkeypatch):
        began = []
        desk.answer(desk.ask())  # something older than the listener, to be read back
        async with desk.listening() as listener:
            monkeypatch.setattr(backfill.Backfill, "_read", lambda self, reader: began.append(self) or 1 / 0)
            waiting = listener.wait(desk.ask(start_offsets={}))
            while len(began) < 3:
                await asyncio.wait({waiting}, timeout=0.05)
            assert "reading" in listener.trouble
            assert "back failed: ZeroDivisionError" in listener.trouble
        with pytest.raises(WaitError, match="closed"):
            await waiting


class TestRefused:
    @pytest.fixture(autouse=True)
    def soon_believed(self, monkeypatch):
        monkeypatch.setattr(poll, "HOPELESS_SECONDS", 0.5)

    async def test_a_topic_that_does_not_exist(self, desk):
        async with shared_listener(desk.settings, "no-such-results") as listener:
            with pytest.raises(WaitError, match=r"no-such-results: .*does not exist"):
                await listener.wait(desk.ask())

    async def test_a_wrong_password(self, desk, sasl):
        async with shared_listener(sasl | {"sasl.password": "wrong"}, desk.topic) as listener:
            with pytest.raises(WaitError, match="the broker refused the login"):
                await listener.wait(desk.ask())

    async def test_a_broker_that_is_away_is_waited_for_until_the_deadline(self, desk, monkeypatch, caplog):
        monkeypatch.setattr("airflow_provider_langgraph.triggers.wait.GRACE", timedelta(0))
        monkeypatch.setattr("airflow_provider_langgraph.triggers.wait.LEAST_WAIT", timedelta(0))
        monkeypatch.setattr("airflow_provider_langgraph.triggers.wait.LOOK_SECONDS", 0.1)
        handle = desk.ask(seconds=1)
        monkeypatch.setenv(
            "AIRFLOW_CONN_KAFKA_DEFAULT",
            json.dumps({"conn_type": "kafka", "extra": {"bootstrap.servers": "127.0.0.1:1"}}),
        )
        with pytest.raises(TimeoutError):
            await wait_for_result(handle, log)


class TestTrigger:
    async def test_it_fires_once_with_the_reply(self, desk):
        handle = desk.ask()
        desk.answer(handle)
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "result"
        assert decode_result(record_in(event.payload)).correlation_id == handle.correlation_id

    async def test_a_trigger_that_starts_after_the_deadline_still_finds_the_reply(self, desk):
        handle = desk.ask(seconds=-120)
        desk.answer(handle)
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "result"

    async def test_a_connection_that_cannot_work_is_told_as_such(self, desk, monkeypatch):
        handle = desk.ask()
        extra = {"bootstrap.servers": "b:1", "acks": "0"}
        monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps({"conn_type": "kafka", "extra": extra}))
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "refused"
        assert "acks = '0'" in event.payload["error"]

    async def test_it_says_so_when_nobody_answers(self, desk, monkeypatch):
        monkeypatch.setattr("airflow_provider_langgraph.triggers.wait.LEAST_WAIT", timedelta(seconds=1))
        handle = desk.ask(seconds=-120)
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "silence"

    async def test_it_says_so_when_it_cannot_wait(self, desk, monkeypatch):
        handle = desk.ask(results_topic="no-such-results")
        monkeypatch.setattr(poll, "HOPELESS_SECONDS", 0.5)
        (event,) = [event async for event in WorkflowResultTrigger(handle=handle.to_dict(), not_before=NOW).run()]
        assert event.payload["kind"] == "broken"
        assert "no-such-results" in event.payload["error"]
