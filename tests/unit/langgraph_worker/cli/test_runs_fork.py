"""``runs checkpoints`` and ``runs fork``, on a store with a run that has checkpoints."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import UUID

import pytest

from langgraph_worker.broker.kafka.end_offsets import TopicEnd
from langgraph_worker.cli.runs import new_request
from langgraph_worker.cli.runs.fork_run import NotForkableError
from langgraph_worker.domain.models import Decision
from langgraph_worker.errors import SettingsError
from tests.support.run_store import event, request
from tests.support.runs import chain, opened
from workflow_events.codec import Record, decode_event
from workflow_events.models import EventType, Fork, RunConfig, WorkflowEvent

ONE = UUID("abcd1111-0000-4000-8000-000000000001")
GRAPH = chain(a=lambda state: {"log": ["a"]}, b=lambda state: {"log": ["b"]})


class Broker:
    """Takes the events that are sent."""

    def __init__(self) -> None:
        self.sent: list[WorkflowEvent] = []

    async def send_all(self, settings, topic, messages):
        assert topic == settings.kafka_workflow_events_topic
        self.sent += [decode_event(Record(topic, 0, 0, one.value, one.headers, one.key)) for one in messages]
        return [None for _ in messages]

    def end_of(self, settings, topic):
        assert topic == settings.kafka_workflow_results_topic
        return TopicEnd(topic, {0: 7}, "the-topic", "the-cluster")


@pytest.fixture
def broker(monkeypatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(new_request, "send_all", broker.send_all)
    monkeypatch.setattr(new_request, "end_of", broker.end_of)
    return broker


@pytest.fixture
def has_run(runs, tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path / "store.db") as desk:
            about = {"config": RunConfig(tags=["dear"]), "metadata": {"environment": "live", "version": "7"}}
            claim = await desk.claim("graph", {}, event_id=ONE, **about)
            await desk.run(claim, GRAPH)

    asyncio.run(work())


@pytest.fixture
def waiting(runs) -> None:
    """A run that has not begun."""
    runs.worked(lambda store: store.accept([request(event(None, event_id=ONE))]))


def listed(runs) -> dict[str, str]:
    """The id of each checkpoint, by what runs behind it."""
    lines = [json.loads(line) for line in runs.call("checkpoints", "abcd1", "--json").out.splitlines()]
    return {",".join(one["next"]): one["checkpoint_id"] for one in lines}


@pytest.mark.usefixtures("has_run")
def test_the_checkpoints_of_a_run_are_listed_with_what_runs_behind_them(runs):
    head, *lines = runs.call("checkpoints", "abcd1").out.splitlines()
    assert head.split() == ["CHECKPOINT", "STEP", "WRITTEN", "WRITTEN", "BY", "NEXT"]
    assert [line.split()[1] for line in lines] == ["-1", "0", "1", "2"]
    assert [line.split()[-3:] for line in lines] == [
        [lines[0].split()[3], "input", "__start__"],
        [lines[1].split()[3], "loop", "a"],
        [lines[2].split()[3], "loop", "b"],
        ["loop", "(the", "end)"],
    ]
    assert list(listed(runs)) == ["__start__", "a", "b", ""]


@pytest.mark.usefixtures("has_run")
def test_a_fork_is_asked_for_with_what_its_origin_was_asked_with(runs, broker):
    printed = runs.call("fork", "abcd1", "--before", "b")
    [sent] = broker.sent
    place = listed(runs)["b"]
    assert (sent.event_type, sent.fork) == (EventType.WORKFLOW_FORKED, Fork(of=ONE, checkpoint_id=place))
    assert (sent.graph, sent.payload.data, sent.attempt, sent.thread_id) == ("graph", {}, None, None)
    assert (sent.config.tags, sent.metadata.version, sent.workflow_id) == (["dear"], "7", "dag")
    assert sent.deadline is not None
    assert printed.out == f"{sent.event_id}\n"
    words = f"it begins with checkpoint {place} of request {ONE} and runs b"
    assert printed.err == f"langgraph-worker: sent: {words}\n"
    [accepted] = runs.worked(lambda store: store.accept([request(sent)]))
    assert accepted.decision is Decision.FRESH


@pytest.mark.usefixtures("has_run")
def test_a_fork_changes_the_state_in_the_name_of_a_node(runs, broker):
    place = listed(runs)["b"]
    values = ["--values", '{"log": ["by hand"]}', "--as-node", "b"]
    handle = json.loads(runs.call("fork", "abcd1", "--checkpoint", place, *values, "--json").out)
    [sent] = broker.sent
    assert (sent.payload.data, sent.fork) == (
        {"log": ["by hand"]},
        Fork(of=ONE, checkpoint_id=place, as_node="b"),
    )
    assert (handle["correlation_id"], handle["start_offsets"]) == (str(sent.event_id), {"0": 7})
    assert (handle["forks"], handle["checkpoint_id"]) == (str(ONE), place)
    words = f"begins with checkpoint {place} of request {ONE}, changes log in the name of b"
    assert words in runs.call("fork", "abcd1", "--checkpoint", place, *values).err


@pytest.mark.usefixtures("has_run")
def test_a_dry_run_sends_nothing(runs, broker):
    printed = runs.call("fork", "abcd1", "--before", "a", "--dry-run")
    assert (printed.code, broker.sent) == (0, [])
    assert "nothing is sent; the request would be one that begins with checkpoint" in printed.err


@pytest.mark.usefixtures("has_run")
def test_a_place_that_is_not_there_is_named_with_those_that_are(runs, broker):
    with pytest.raises(SettingsError, match=rf"--checkpoint: request {ONE} has no 'x'. `runs checkpoints {ONE}`"):
        runs.call("fork", "abcd1", "--checkpoint", "x")
    with pytest.raises(SettingsError, match=r"--before: .*before a node 'c'\. There are ones before __start__, a, b;"):
        runs.call("fork", "abcd1", "--before", "c")
    with pytest.raises(SettingsError, match="--as-node: says in whose name --values"):
        runs.call("fork", "abcd1", "--before", "b", "--as-node", "b")
    with pytest.raises(SettingsError, match="--values: must be a JSON object"):
        runs.call("fork", "abcd1", "--before", "b", "--values", "[1]")
    end = listed(runs)[""]
    with pytest.raises(NotForkableError, match=f"checkpoint {end} is the end of request {ONE}: no node runs behind"):
        runs.call("fork", "abcd1", "--checkpoint", end)
    assert broker.sent == []


@pytest.mark.usefixtures("waiting")
def test_a_run_that_has_not_begun_has_no_checkpoint(runs, broker):
    printed = runs.call("checkpoints", "abcd1")
    assert (printed.code, printed.out) == (0, "")
    assert "the run has no checkpoint: it has not begun, or it was pruned" in printed.err
    with pytest.raises(NotForkableError, match="has no checkpoint: it has not begun"):
        runs.call("fork", "abcd1", "--before", "a")
