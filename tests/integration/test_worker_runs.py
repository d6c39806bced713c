"""A worker's normal day: events in, answers out, whatever the events and the graphs are like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Producer

from devtools.broker import Broker
from devtools.postgres import PostgresServer
from tests.support.kafka import QUIET
from tests.support.ti_ids import new_ti_id
from tests.support.worker import PLAIN, Desk, desk_of
from workflow_events import ResultStatus
from workflow_events.headers import value_of
from workflow_events.identity import record_id

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One worker for all tests of this file, on each kind of store."""
    store = {}
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        store["store_url"] = server.create_database("runs")
    with desk_of(broker, tmp_path_factory.mktemp("worker"), allowed_models="llama3", **store) as desk, desk.worker:
        yield desk


@pytest.fixture(autouse=True)
def _the_worker_goes_on(desk: Desk) -> Iterator[None]:
    """After each test the next event still runs."""
    yield
    assert desk.run("echo", {"task": "still there"}).result["value"] == "still there"


def dead_letter(desk: Desk, partition: int, offset: int):
    """The dead letter of a record."""
    for message in desk.kafka.read_all(desk.kafka.fleet.dead_letters):
        headers = message.headers()
        place = (value_of(headers, "dead-letter-partition"), value_of(headers, "dead-letter-offset"))
        if place == (str(partition), str(offset)):
            return message
    raise AssertionError(f"no dead letter of [{partition}]@{offset}")


def test_the_plain_event_of_the_documents_runs(desk):
    partition, offset = desk.send(json.dumps(PLAIN))
    cluster = desk.kafka.admin.list_topics(timeout=10).cluster_id
    result = desk.answer(record_id(cluster, desk.kafka.fleet.events, partition, offset))
    assert result.status is ResultStatus.SUCCESS
    assert result.result == {"task": "process_data", "value": "process_data"}
    assert (result.workflow_id, result.workflow_run_id) == ("example_dag", "run_123")


def test_an_event_delivered_twice_runs_once_and_is_answered_twice_alike(desk):
    gate = desk.gate()
    event = str(uuid4())
    desk.ask("steps", gate.data, event_id=event)
    desk.messages(UUID(event), 1)
    desk.ask("steps", gate.data, event_id=event)
    first, second = desk.messages(UUID(event), 2)
    assert gate.ledger == ["first", "last"]
    assert (first.key(), first.value(), first.headers()) == (second.key(), second.value(), second.headers())


def test_an_event_delivered_again_while_it_runs_is_the_same_run(desk):
    gate = desk.gate()
    event = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    desk.ask("gated", gate.data, event_id=str(event))
    decision = "does not run again, the request was delivered before: it is RUNNING"
    desk.logged(f"accepted: graph gated {decision} (request {event} of ")
    gate.open()
    assert desk.answer(event).status is ResultStatus.SUCCESS
    assert gate.ledger == ["first", "waiting", "passed", "last"]


def test_many_runs_at_once(desk):
    gates = [desk.gate() for _ in range(10)]
    events = [desk.ask("gated", gate.data) for gate in gates]
    for gate in gates:
        gate.wait_for("waiting")
    for gate in gates:
        gate.open()
    assert {desk.answer(event).status for event in events} == {ResultStatus.SUCCESS}


def test_a_newer_attempt_stops_the_older_run(desk):
    def attempt(number: int) -> dict[str, object]:
        return {"task": "the-task", "id": str(new_ti_id()), "try_number": number, "max_tries": 3}

    older, newer = desk.gate(), desk.gate()
    first = desk.ask("gated", older.data, attempt=attempt(1))
    older.wait_for("waiting")
    second = desk.ask("gated", newer.data, attempt=attempt(2))
    answer = desk.answer(first)
    assert (answer.status, answer.error_type, answer.retriable) == (ResultStatus.CANCELLED, "superseded", True)
    desk.logged(f"stopped before its end: ended from outside (graph gated, request {str(first)[:8]})")
    newer.wait_for("waiting")
    newer.open()
    assert desk.answer(second).status is ResultStatus.SUCCESS
    assert older.ledger == ["first", "waiting"]
    assert len(desk.messages(first)) == 1


@pytest.mark.parametrize(
    ("graph", "data", "status", "error_type", "retriable", "text"),
    [
        ("raises", {}, "failure", "OSError", True, "node 'fail': OSError: the exchange is closed"),
        ("picky", {"quantity": "many"}, "error", "bad_input", False, "quantity: Input should be a valid integer"),
        ("big", {"size": 1_100_000}, "error", "result_too_large", False, "over the limit of 1,000,000"),
        ("unstorable", {}, "error", "result_not_serializable", False, "node 'lock': value.tools[1] is a _thread.lock"),
        ("unsendable", {}, "error", "result_not_serializable", False, "value.errors[0] is a ValueError"),
        ("not_a_graph", {}, "error", "graph_not_usable", False, "./graphs.py:not_a_graph"),
        ("unheard_of", {}, "error", "unknown_graph", False, "Known: asks, big, dies, echo"),
    ],
)
def test_what_goes_wrong_in_a_run_is_answered_and_logged(desk, graph, data, status, error_type, retriable, text):
    result = desk.run(graph, data)
    assert (result.status.value, result.error_type, result.retriable) == (status, error_type, retriable)
    assert text in result.error
    assert result.result is None


def test_a_failed_run_is_logged_with_its_reason(desk):
    event = desk.ask("raises")
    line = desk.logged(f"request {str(event)[:8]})")
    assert " ERROR " in line
    assert "[finished] failed: node 'fail': OSError: the exchange is closed" in line
    assert "(graph raises, " in line
    assert desk.logged('raise OSError("the exchange is closed")').startswith("    ")


def test_an_interrupt_is_answered_with_its_question(desk):
    result = desk.run("asks")
    assert result.status is ResultStatus.INTERRUPTED
    assert [asked.value for asked in result.interrupts] == [{"question": "Buy?"}]


@pytest.mark.parametrize("graph", ["gated", "gated_sync"])
def test_a_deadline_ends_a_run_also_in_a_synchronous_node(desk, graph):
    gate = desk.gate()
    deadline = datetime.now(UTC) + timedelta(seconds=2)
    event = desk.ask(graph, gate.data, deadline=deadline.isoformat())
    gate.wait_for("waiting")
    result = desk.answer(event)
    gate.open()
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.TIMEOUT, "deadline", True)
    assert result.attempts == 1


def test_a_request_past_its_deadline_never_starts(desk):
    gate = desk.gate()
    result = desk.run("steps", gate.data, deadline=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())
    assert (result.status, result.error_type, result.attempts) == (ResultStatus.TIMEOUT, "deadline", 0)
    assert gate.ledger == []


@pytest.mark.parametrize("value", [b"garbage", b"[1]", b"", None, b'{"event_type": "workflow.triggered"}'])
def test_garbage_is_dead_lettered_as_it_came_with_the_reason(desk, value):
    partition, offset = desk.send(value, headers=(("mine", b"kept"),))
    desk.logged(f"{desk.kafka.fleet.events}[{partition}]@{offset}")
    letter = dead_letter(desk, partition, offset)
    assert (letter.value() or None) == (value or None)
    headers = letter.headers()
    assert value_of(headers, "mine") == "kept"
    assert value_of(headers, "dead-letter-error-type") == "invalid_event"
    assert value_of(headers, "dead-letter-topic") == desk.kafka.fleet.events
    assert f"[{partition}]@{offset}" in value_of(headers, "dead-letter-reason")


@pytest.mark.parametrize("part", ["value", "header"])
def test_garbage_as_large_as_the_topic_takes_is_dead_lettered_without_its_bulk(desk, part):
    bulk = b"x" * 1_048_300  # the topic's limit is 1,048,588 bytes, and a dead letter has headers of its own
    value, headers = (bulk, []) if part == "value" else (b"garbage", [("mine", bulk)])
    reports = []
    producer = Producer({**desk.kafka.client, **QUIET, "message.max.bytes": 2_000_000})
    producer.produce(
        desk.kafka.fleet.events, value, headers=headers, on_delivery=lambda *report: reports.append(report)
    )
    producer.flush(10)
    [(error, message)] = reports
    assert error is None
    desk.logged(f"{desk.kafka.fleet.events}[{message.partition()}]@{message.offset()}")
    letter = dead_letter(desk, message.partition(), message.offset())
    assert letter.value() is None
    assert value_of(letter.headers(), "mine") is None
    assert value_of(letter.headers(), "dead-letter-error-type") == "event_too_large"
    assert value_of(letter.headers(), "dead-letter-body-omitted-bytes") == str(len(value))
    assert desk.run("echo").status is ResultStatus.SUCCESS


def test_garbage_that_names_its_waiter_is_answered_too(desk):
    correlation_id = uuid4()
    partition, offset = desk.send(b"garbage", headers=(("correlation-id", str(correlation_id).encode()),))
    result = desk.answer(correlation_id)
    assert (result.status, result.error_type) == (ResultStatus.ERROR, "invalid_event")
    assert "the body is not JSON" in result.error
    assert value_of(dead_letter(desk, partition, offset).headers(), "correlation-id") == str(correlation_id)


def test_a_body_that_cannot_run_is_answered_by_its_own_id(desk):
    request = desk.ask("echo", deadline="tomorrow")  # and no header
    result = desk.answer(request)
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.ERROR, "invalid_event", False)
    assert "field 'deadline'" in result.error


def test_a_bad_copy_of_a_request_at_work_neither_ends_nor_answers_it(desk):
    gate = desk.gate()
    request = desk.ask("gated", gate.data)
    gate.wait_for("waiting")
    desk.ask("echo", event_id=str(request), deadline="tomorrow")
    desk.logged("field 'deadline'")
    gate.open()
    assert desk.answer(request).status is ResultStatus.SUCCESS
    assert len(desk.messages(request)) == 1


def test_a_good_copy_of_a_refused_event_changes_nothing(desk):
    correlation_id = uuid4()
    desk.send(b"garbage", headers=(("correlation-id", str(correlation_id).encode()),))
    desk.messages(correlation_id)
    desk.ask("echo", event_id=str(correlation_id))
    first, second = desk.messages(correlation_id, 2)
    assert first.value() == second.value()


@pytest.mark.parametrize(
    ("fields", "error_type"),
    [
        ({"config": {"model": "gpt"}}, "model_not_allowed"),
        ({"reply_topic": "elsewhere"}, "reply_topic_not_allowed"),
        ({"round": 2}, "not_supported"),
        ({"event_type": "workflow.resumed", "round": 1, "answers": [{"interrupt_id": "x"}]}, "interrupt_not_pending"),
    ],
)
def test_what_cannot_be_done_is_refused(desk, fields, error_type):
    result = desk.run("echo", **fields)
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.ERROR, error_type, False)


def test_every_offset_is_committed_in_the_end(desk):
    desk.run("echo")
    desk.wait_committed(len(desk.kafka.read_all(desk.kafka.fleet.events)))
