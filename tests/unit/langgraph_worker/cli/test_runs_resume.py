from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from langgraph_worker.broker.kafka.end_offsets import TopicEnd
from langgraph_worker.broker.port import SendError
from langgraph_worker.cli.runs import new_request
from langgraph_worker.domain.models import Decision
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.errors import SettingsError
from langgraph_worker.operations.resumption import NotResumableError
from langgraph_worker.operations.sending import NotSentError
from tests.support.run_store import answer, apply, ask, attempt, claim_one, event, ran, refusal, request, result
from workflow_events.codec import Record, decode_event
from workflow_events.control import PauseScope
from workflow_events.models import EventType, Replay
from workflow_events.results import ResultStatus

ONE, TWO, THREE = (UUID(f"abcd{number}111-0000-4000-8000-000000000001") for number in (1, 2, 3))


class Broker:
    """Takes the events that are sent; or is away."""

    def __init__(self) -> None:
        self.sent = []
        self.is_away = False

    async def send_all(self, settings, topic, messages):
        assert topic == settings.kafka_workflow_events_topic
        if self.is_away:
            return [SendError("the broker is away", retriable=True) for _ in messages]
        self.sent += [decode_event(Record(topic, 0, 0, one.value, one.headers, one.key)) for one in messages]
        return [None for _ in messages]

    def end_of(self, settings, topic):
        assert topic == settings.kafka_workflow_results_topic
        return TopicEnd(topic, {0: 7, 1: 9}, "the-topic", "the-cluster")


@pytest.fixture
def broker(monkeypatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(new_request, "send_all", broker.send_all)
    monkeypatch.setattr(new_request, "end_of", broker.end_of)
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    return broker


def accepted(runs, event) -> Decision:
    """What a worker makes of an event that was sent."""

    async def work(store):
        [one] = await store.accept([request(event)])
        return one.decision

    return runs.worked(work)


def failed(runs, of=None, name=ONE, status=ResultStatus.FAILURE):
    return runs.worked(lambda store: ran(store, request(event(of, event_id=name)), status))


@pytest.mark.parametrize("status", [ResultStatus.FAILURE, ResultStatus.TIMEOUT, ResultStatus.CANCELLED])
def test_a_plain_run_is_continued(runs, broker, status):
    failed(runs, status=status)
    printed = runs.call("resume", "abcd1")
    [sent] = broker.sent
    assert (sent.event_type, sent.replay, sent.attempt) == (
        EventType.WORKFLOW_TRIGGERED,
        Replay(of=ONE, number=1),
        None,
    )
    assert (sent.payload.data, sent.graph) == ({"ask": 1}, "graph")
    assert sent.event_id != ONE
    assert sent.deadline is not None
    assert timedelta(hours=23) < sent.deadline - datetime.now(UTC) < timedelta(hours=25)
    assert printed.out == f"{sent.event_id}\n"
    assert printed.err == f"langgraph-worker: sent: it goes on with request {ONE}\n"
    assert accepted(runs, sent) is Decision.RESUMED


def test_a_replay_that_failed_is_replayed_with_the_first_input(runs, broker):
    failed(runs)
    runs.call("resume", "abcd1")
    runs.worked(lambda store: ran(store, request(broker.sent[0]), ResultStatus.FAILURE))
    runs.call("resume", "abcd1")
    second, third = broker.sent
    assert (third.replay, third.payload) == (Replay(of=ONE, number=2), second.payload)
    assert accepted(runs, third) is Decision.RESUMED


def test_a_tasks_run_is_retried_in_its_attempt(runs, broker):
    failed(runs, attempt(on_retry="restart"))
    first = runs.call("resume", "abcd1")
    again = runs.call("resume", "abcd1")
    assert first.out == again.out  # two people who resume it ask for one run
    sent = broker.sent[0]
    assert (sent.attempt, sent.replay, sent.graph) == (attempt(replay=1), Replay(of=ONE, number=1), "graph")
    assert accepted(runs, sent) is Decision.RESUMED
    with pytest.raises(NotResumableError, match=f"request {sent.event_id} of the same work is pending"):
        runs.call("resume", "abcd1")


def test_a_retry_that_failed_is_resumed_once_more(runs, broker):
    failed(runs, attempt())
    runs.call("resume", "abcd1")
    runs.worked(lambda store: ran(store, request(broker.sent[0]), ResultStatus.FAILURE))
    runs.call("resume", str(broker.sent[0].event_id))
    assert broker.sent[1].attempt == attempt(replay=2)
    assert accepted(runs, broker.sent[1]) is Decision.RESUMED


def test_the_newest_try_is_resumed_and_never_goes_before_one_of_airflow(runs, broker):
    failed(runs, attempt(1))
    failed(runs, attempt(2), TWO)
    runs.call("resume", "abcd1")
    [sent] = broker.sent
    assert sent.attempt == attempt(2, replay=1)
    failed(runs, attempt(3), THREE)
    assert accepted(runs, sent) is Decision.LATE


def test_airflows_next_try_finds_what_a_resume_has_done(runs, broker):
    failed(runs, attempt(1))
    runs.call("resume", "abcd1")
    runs.worked(lambda store: ran(store, request(broker.sent[0])))
    assert accepted(runs, event(attempt(2))) is Decision.ANSWERED


def test_an_event_of_another_version_is_not_resumed(runs, broker):
    failed(runs)
    path = runs.url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE workflow_runs SET event = json_set(event, '$.source', 'a newer one')")
    with pytest.raises(NotResumableError, match="is of another version than this command"):
        runs.call("resume", "abcd1")
    assert "input      " in runs.call("show", "abcd1").out


def test_after_its_answer_was_applied_a_tasks_run_goes_on(runs, broker):
    async def work(store):
        await ask(store, request(event(attempt(), event_id=ONE)), "sure")
        await store.accept([request(answer(attempt(), {"sure": 1}, event_id=TWO, round=1))])
        claim = await claim_one(store)
        await apply(store, claim, "sure")
        await store.finish(claim, result(claim, ResultStatus.FAILURE))

    runs.worked(work)
    for name in ("abcd1", "abcd2"):
        runs.call("resume", name)
    assert [sent.event_id for sent in broker.sent] == [broker.sent[0].event_id] * 2
    assert (broker.sent[0].round, broker.sent[0].attempt) == (0, attempt(replay=1))
    assert accepted(runs, broker.sent[0]) is Decision.RESUMED


def test_another_tasks_answer_is_given_once_more(runs, broker):
    other = attempt(1, task="o" * 64, at=77_000)

    async def work(store):
        await ask(store, request(event(attempt(), event_id=ONE)), "sure")
        given = answer(other, {"sure": 1}, event_id=TWO, round=1, answers_to=ONE)
        await store.accept([request(given)])
        claim = await claim_one(store)
        await apply(store, claim, "sure")
        await store.finish(claim, result(claim, ResultStatus.FAILURE))

    runs.worked(work)
    runs.call("resume", "abcd2")
    [sent] = broker.sent
    assert (sent.attempt.task, sent.attempt.replay, sent.answers[0].value) == ("o" * 64, 1, 1)
    assert accepted(runs, sent) is Decision.ANSWER


def test_a_question_is_answered(runs, broker):
    runs.worked(lambda store: ask(store, request(event(attempt(), event_id=ONE)), "sure"))
    with pytest.raises(NotResumableError, match=r"waits for a person: sure \(request abcd1.*\): \"sure\?\""):
        runs.call("resume", "abcd1")
    printed = runs.call("resume", "abcd1", "--answer", '{"yes": true}')
    [sent] = broker.sent
    assert printed.out == f"{sent.event_id}\n"
    [given] = sent.answers
    assert (given.interrupt_id, given.value, given.answered_by) == ("sure", {"yes": True}, "ann")
    assert (sent.answers_to, sent.round, sent.workflow_id, sent.attempt) == (ONE, 1, "dag", None)
    assert accepted(runs, sent) is Decision.ANSWER


def test_a_stale_answer_is_refused_with_what_is_asked_now(runs, broker):
    async def work(store):
        await ask(store, request(event(attempt(), event_id=ONE)), "sure")
        given = request(answer(attempt(), {"sure": 1}, event_id=TWO, round=1))
        await store.accept([given])
        claim = await claim_one(store)
        await apply(store, claim, "sure")
        questions = [{"id": "why", "value": "Why?"}]
        await store.finish(claim, result(claim, ResultStatus.INTERRUPTED, interrupts=questions))

    runs.worked(work)
    with pytest.raises(NotResumableError) as error:
        runs.call("resume", "abcd1", "--answer", "1")
    assert str(error.value).startswith(f"request {ONE}: its question was answered by ann at ")
    assert str(error.value).endswith(f'. Asked is now: why (request {TWO}): "Why?"')
    runs.call("resume", "abcd2", "--answer", "1")
    assert accepted(runs, broker.sent[0]) is Decision.ANSWER


def test_of_several_questions_each_answer_names_one(runs, broker):
    runs.worked(lambda store: ask(store, request(event(event_id=ONE)), "a", "b"))
    with pytest.raises(
        SettingsError, match=r"there are 2 questions\. Say which each answers \(a, b\)\. .* --answer ID=JSON"
    ):
        runs.call("resume", "abcd1", "--answer", "1")
    with pytest.raises(SettingsError, match=r"does not ask 'c', but a, b"):
        runs.call("resume", "abcd1", "--answer", "c=1")
    with pytest.raises(SettingsError, match="--answer: 'yes' is no JSON"):
        runs.call("resume", "abcd1", "--answer", "yes")
    with pytest.raises(SettingsError, match="--by: says who answers"):
        runs.call("resume", "abcd1", "--by", "bob")
    with pytest.raises(SettingsError, match="--by: String should have at most 512 characters"):
        runs.call("resume", "abcd1", "--answer", "a=1", "--by", "x" * 513)
    runs.call("resume", "abcd1", "--answer", "b=2", "--answer", "a=1", "--by", "bob")
    assert [(one.interrupt_id, one.value, one.answered_by) for one in broker.sent[0].answers] == [
        ("b", 2, "bob"),
        ("a", 1, "bob"),
    ]


def test_a_sensor_can_wait_by_what_is_printed(runs, broker):
    failed(runs, attempt())
    handle = json.loads(runs.call("resume", "abcd1", "--json").out)
    [sent] = broker.sent
    assert datetime.fromisoformat(handle.pop("asked_at")) <= datetime.now(UTC)
    assert handle == {
        "correlation_id": str(sent.event_id),
        "workflow_id": "dag",
        "workflow_run_id": "run",
        "kafka_config_id": "kafka_default",
        "events_topic": "workflow-events",
        "results_topic": "workflow-results",
        "control_topic": "workflow-control",
        "progress_topic": "workflow-progress",
        "cluster": "the-cluster",
        "start_offsets": {"0": 7, "1": 9},
        "deadline": sent.deadline.isoformat(),
        "results_topic_id": "the-topic",
        "thread_id": None,
        "trace_id": None,
        "how": "retry",
        "resumes": str(ONE),
    }


def test_a_dry_run_sends_nothing(runs, broker):
    failed(runs)
    printed = runs.call("resume", "abcd1", "--dry-run")
    assert (printed.code, broker.sent) == (0, [])
    assert printed.err.startswith("langgraph-worker: nothing is sent; the request would be one that goes on with")


def test_what_has_succeeded_or_never_ran_is_not_resumed(runs, broker):
    failed(runs, status=ResultStatus.SUCCESS)
    with pytest.raises(NotResumableError, match="the work has succeeded with request abcd1"):
        runs.call("resume", "abcd1")
    with pytest.raises(NotResumableError, match="asks nothing"):
        runs.call("resume", "abcd1", "--answer", "1")
    refused = uuid4()
    runs.worked(lambda store: store.accept([refusal(refused)]))
    with pytest.raises(NotResumableError, match=r"never ran: field 'payload': wrong\. Send it anew"):
        runs.call("resume", str(refused))
    assert broker.sent == []


def test_a_broker_that_is_away_is_an_error(runs, broker):
    failed(runs)
    broker.is_away = True
    with pytest.raises(NotSentError, match="is not acknowledged: the broker is away"):
        runs.call("resume", "abcd1")


@pytest.mark.parametrize(("name", "waits"), [("graph", True), ("other", False)])
def test_a_request_that_a_pause_holds_back_says_so(runs, broker, name, waits):
    failed(runs)
    since = datetime(2026, 3, 1, tzinfo=UTC)
    change = PauseChange(PauseScope.GRAPH, name, True, since, requested_by="ann", reason="markets are closed")
    runs.worked(lambda store: store.pause([change]))
    printed = runs.call("resume", "abcd1")
    assert len(broker.sent) == 1
    said = (
        "langgraph-worker: graph 'graph' is paused since 2026-03-01 00:00:00 UTC by ann: markets are closed: it starts "
        "when that has ended (langgraph-worker unpause --graph graph)"
    )
    assert printed.err.splitlines()[1:] == ([said] if waits else [])
