from __future__ import annotations

import json
from uuid import UUID, uuid4

import pytest

from langgraph_worker.broker.port import SendError
from langgraph_worker.cli.runs import cancel_runs
from langgraph_worker.errors import SettingsError
from langgraph_worker.operations.store_access import NotFoundError
from tests.support.run_store import apply, ask, attempt, claim_one, event, ran, request
from workflow_events.codec import Record, decode_control

ONE, TWO, THREE = (UUID(f"abcd{number}111-0000-4000-8000-000000000001") for number in (1, 2, 3))


class Broker:
    """Takes what is sent; refuses some of it."""

    def __init__(self) -> None:
        self.sent = []
        self.topics = set()
        self.refused = 0

    async def send_all(self, settings, topic, messages):
        self.topics.add(topic)
        self.sent += [decode_control(Record(topic, 0, 0, one.value, one.headers, one.key)) for one in messages]
        kept = [None] * (len(messages) - self.refused)
        return [*kept, *(SendError("the broker is away", retriable=True) for _ in range(self.refused))]


@pytest.fixture
def broker(monkeypatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(cancel_runs, "send_all", broker.send_all)
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    return broker


async def some_runs(store):
    """One that has ended, one that runs, one that waits."""
    await ran(store, request(event(event_id=ONE, workflow_id="nightly")))
    await store.accept([request(event(event_id=TWO, workflow_id="nightly"))])
    await claim_one(store)
    await store.accept([request(event(event_id=THREE, workflow_id="hourly"), "another")])


def test_a_named_request_is_cancelled(runs, broker):
    runs.worked(some_runs)
    printed = runs.call("cancel", "abcd2", "--reason", "too dear")
    assert printed.code == 0
    [message] = broker.sent
    assert (message.correlation_id, message.reason, message.requested_by) == (TWO, "too dear", "ann")
    assert broker.topics == {"workflow-control"}
    assert printed.out.splitlines()[1].startswith("abcd2111  running")
    assert printed.err == "langgraph-worker: a cancel is sent to 1 request\n"
    assert json.loads(runs.call("show", "abcd2", "--json").out)["status"] == "running"  # a worker ends it


def test_one_that_has_ended_gets_no_cancel(runs, broker):
    runs.worked(some_runs)
    printed = runs.call("cancel", "abcd1")
    assert (printed.code, printed.out, broker.sent) == (0, "", [])
    assert printed.err == f"langgraph-worker: {ONE} has ended (success): there is nothing to cancel\n"


def test_one_that_is_still_to_come_is_named_by_its_whole_id(runs, broker):
    runs.worked(some_runs)
    name = uuid4()
    printed = runs.call("cancel", str(name), "--by", "bob")
    assert [(message.correlation_id, message.requested_by) for message in broker.sent] == [(name, "bob")]
    assert f"{name} is not in the store: it is answered cancelled when its event comes" in printed.err
    with pytest.raises(NotFoundError, match="has no run 'ffff'"):
        runs.call("cancel", "ffff")


def test_a_question_is_withdrawn(runs, broker):
    async def work(store):
        await ask(store, request(event(attempt(), event_id=ONE)), "sure")

    runs.worked(work)
    assert runs.call("cancel", "abcd1").out.splitlines()[1].startswith("abcd1111  interrupted")
    assert [message.correlation_id for message in broker.sent] == [ONE]


def test_a_bulk_cancel_shows_what_it_would_do_until_yes_is_said(runs, broker):
    runs.worked(some_runs)
    printed = runs.call("cancel", "--since", "1d")
    assert (printed.code, broker.sent) == (2, [])
    assert [line.split()[0] for line in printed.out.splitlines()] == ["ID", "abcd3111", "abcd2111"]
    assert printed.err == (
        "langgraph-worker: a cancel would be sent to 2 requests\n"
        "langgraph-worker: nothing is cancelled yet. The same command with --yes cancels 2 requests\n"
    )
    printed = runs.call("cancel", "--since", "1d", "--yes", "--dry-run")
    assert (printed.code, broker.sent) == (0, [])
    printed = runs.call("cancel", "--since", "1d", "--yes")
    assert (printed.code, [message.correlation_id for message in broker.sent]) == (0, [THREE, TWO])


def test_filters_choose_what_is_cancelled(runs, broker):
    runs.worked(some_runs)
    runs.call("cancel", "--dag", "nightly", "--yes")
    runs.call("cancel", "--status", "pending", "--yes")
    assert [message.correlation_id for message in broker.sent] == [TWO, THREE]
    printed = runs.call("cancel", "--dag", "nobody", "--yes")
    assert (printed.code, printed.err) == (0, "langgraph-worker: no run that could be cancelled fits\n")


def test_reports_are_json_lines(runs, broker):
    runs.worked(some_runs)
    lines = runs.call("cancel", "abcd1", "abcd2", "--json").out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"correlation_id": str(TWO), "cancel": "sent", "status": "running"},
        {"correlation_id": str(ONE), "cancel": "ended before", "status": "success"},
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "name requests by their ids, or give a filter such as --graph or --status; one of the two"),
        (["--yes"], "name requests by their ids, or give a filter"),
        (["abcd", "--graph", "g"], "one of the two"),
        (["--status", "success", "--yes"], "--status success: has ended, which no cancel changes. It changes interr"),
        (["abcd2", "--reason", "x" * 2049], "--reason: String should have at most 2048 characters"),
        (["abcd2", "--by", "\udcff"], "--by: "),
    ],
)
def test_a_wrong_command_line_sends_nothing(runs, broker, words, why):
    runs.worked(some_runs)
    with pytest.raises(SettingsError) as error:
        runs.call("cancel", *words)
    assert why in str(error.value)
    assert broker.sent == []


def test_what_the_broker_has_not_acknowledged_is_an_error(runs, broker):
    runs.worked(some_runs)
    broker.refused = 1
    with pytest.raises(cancel_runs.NotSentError) as error:
        runs.call("cancel", "--since", "1d", "--yes")
    assert str(error.value).startswith(f"1 cancel of 2 not acknowledged, the first one of {TWO}: the broker is away.")


def test_an_answered_question_is_not_asked_any_more(runs, broker):
    async def work(store):
        from tests.support.run_store import answer

        await ask(store, request(event(attempt(), event_id=ONE)), "sure")
        await store.accept([request(answer(attempt(), {"sure": 1}, event_id=TWO, round=1))])
        await apply(store, await claim_one(store), "sure")

    runs.worked(work)
    assert "has ended (interrupted)" in runs.call("cancel", "abcd1").err
    assert broker.sent == []
