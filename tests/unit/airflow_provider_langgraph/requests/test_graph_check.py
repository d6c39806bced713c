"""When a task is refused for what its workers announce, and when it asks all the same."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_langgraph.exceptions import GraphCheckError, KafkaError, SettingsError
from airflow_provider_langgraph.operators.agent import LangGraphOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.graph_check import CHECK_SECONDS
from tests.support.asking_task import Hook, context
from workflow_events.announcements import BELIEVED_SECONDS, GraphAnnouncement, WorkerAnnouncement

NOW = datetime.now(UTC)
FIELDS = {"type": "object", "properties": {"symbol": {"type": "string"}}, "required": ["symbol"]}
DESK = GraphAnnouncement(graph="desk", input=FIELDS, assistants={"night": ""})
NEWER = GraphAnnouncement(graph="desk", input={**FIELDS, "properties": {**FIELDS["properties"], "size": {}}})
ECHO = GraphAnnouncement(graph="echo", context={"type": "object", "properties": {"user": {"type": "string"}}})
GOOD = {"symbol": "AAPL"}


def worker(name: str = "one", *graphs: GraphAnnouncement, **fields: Any) -> WorkerAnnouncement:
    return WorkerAnnouncement(
        **{
            "worker_id": name,
            "events_topic": "workflow-events",
            "graphs": {one.graph: one.digest for one in graphs},
            "fleet": [name],
            "steady": True,
            "announced_at": datetime.now(UTC) + timedelta(hours=1),  # young, however late its test runs
            **fields,
        }
    )


ONE = worker("one", DESK, ECHO, default_graph="desk")
FLEET = (ONE, DESK, ECHO)


class AnnouncingHook(Hook):
    """A hook whose fleet has announced this."""

    def __init__(self, *announced: Any) -> None:
        super().__init__()
        self.announced = announced
        self.read: list[str] = []

    def announcements(self, topic: str) -> list[Any]:
        self.read.append(topic)
        for one in self.announced:
            if isinstance(one, Exception):
                raise one
        return list(self.announced)


@pytest.fixture
def ask(monkeypatch):
    """Runs a task that asks; its hook."""
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")
    monkeypatch.setattr(LangGraphTriggerOperator, "log", logging.getLogger("this.task"))

    def ask(*announced: Any, hook: AnnouncingHook | None = None, kind: Any = LangGraphTriggerOperator, **fields: Any):
        hook = hook or AnnouncingHook(*announced)
        monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
        given = {"check_graph": True, **fields}
        kind(task_id="agent", wait_for_completion=False, **given).execute(context())
        return hook

    return ask


@pytest.mark.parametrize(
    "fields",
    [
        {"graph": "desk", "input": GOOD},
        {"graph": "desk", "input": GOOD, "assistant": "night"},
        {"input": GOOD},
        {"graph": "echo", "input": {"anything": 1}, "context": {"user": "ann"}},
        {"graph": "desk", "input": {}, "thread_id": "talk"},
    ],
)
def test_what_fits_is_asked(ask, caplog, fields):
    caplog.set_level(logging.INFO)
    assert len(ask(*FLEET, **fields).events) == 1
    graph = fields.get("graph", "desk")
    assert f"Graph {graph} is served by 1 worker, and" in caplog.text


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"graph": "desc", "input": GOOD},
            r"^graph: no worker of the fleet serves a graph named 'desc'\. Known: desk, echo\. Did you mean 'desk'\? "
            r"Correct the name, or add the graph to langgraph\.json of the workers$",
        ),
        ({"graph": "desk", "input": {"symbul": "A"}}, r"^graph 'desk': input has a field 'symbul', .*mean 'symbol'\?"),
        ({"input": {}}, r"^graph 'desk': input lacks the field 'symbol'"),
        ({"graph": "desk", "input": {"symbol": 1}}, r"input\.symbol must be a text, not a number"),
        (
            {"graph": "desk", "input": GOOD, "assistant": "naight"},
            r"^assistant: graph 'desk' has no assistant 'naight'\. Known: night\. Did you mean 'night'\?",
        ),
        ({"graph": "echo", "context": {"usr": "ann"}}, r"^graph 'echo': context has a field 'usr'"),
    ],
)
def test_what_does_not_is_refused_before_anything_is_published(ask, fields, says):
    hook = AnnouncingHook(*FLEET)
    with pytest.raises(GraphCheckError, match=says) as caught:
        ask(hook=hook, **fields)
    assert hook.events == []
    assert isinstance(caught.value, SettingsError)
    assert caught.value.retriable is False


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"agent_config": {"type": "desc"}}, r"^agent_config\.type: no worker .* 'desc'"),
        ({"agent_config": {"graph": "desk"}, "input_data": {}}, r"^graph 'desk': input_data lacks the field 'symbol'"),
    ],
)
def test_an_author_of_an_agent_config_reads_the_words_of_it(ask, fields, says):
    with pytest.raises(GraphCheckError, match=says):
        ask(*FLEET, kind=LangGraphOperator, **fields)


class TestNotKnown:
    """A good task must not fail because the announcements do not show all there is."""

    @pytest.mark.parametrize(
        ("announced", "why"),
        [
            ((), "no worker of the fleet has announced itself in the last 65 s"),
            ((worker("one", events_topic="risk.workflow-events"),), "no worker of the fleet has announced itself"),
            ((KafkaError("cannot read all of workflow-graphs: no"),), "cannot read all of workflow-graphs: no"),
            (
                (worker("one", fleet=["one", "two"]),),
                "not all workers have announced their graphs: two has not. It is of an older version, "
                "or has just ended",
            ),
            ((worker("one", steady=False),), "a worker has started or ended a moment ago, and others may follow"),
        ],
    )
    def test_it_is_asked_and_the_log_says_why_it_was_not_checked(self, ask, caplog, announced, why):
        assert len(ask(*announced, graph="new", input=GOOD).events) == 1
        [warning] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert "asked all the same" in warning
        assert why in warning

    def test_an_input_is_not_refused_while_a_worker_may_come_that_takes_it(self, ask, caplog):
        unsteady = worker("one", DESK, steady=False)
        assert len(ask(unsteady, DESK, graph="desk", input={"size": 1}).events) == 1
        assert "graph 'desk': input has a field 'size'" in caplog.text

    @pytest.mark.parametrize("value", [{"size": 1, "symbol": "A"}, {"symbol": "A"}])
    def test_of_two_releases_one_has_to_take_it(self, ask, value):
        both = {"fleet": ["one", "two"]}
        fleet = worker("one", DESK, **both), worker("two", NEWER, **both), DESK, NEWER
        assert len(ask(*fleet, graph="desk", input=value).events) == 1

    def test_of_a_graph_with_more_forms_than_a_fleet_has_releases_the_name_alone_is_checked(self, ask):
        forms = [GraphAnnouncement(graph="desk", input=FIELDS, description=str(at)) for at in range(21)]
        names = [f"w{at}" for at in range(21)]
        workers = [worker(name, form, fleet=names) for name, form in zip(names, forms, strict=True)]
        assert len(ask(*workers, *forms, graph="desk", input={"odd": 1}).events) == 1

    @pytest.mark.parametrize("digest", [None, "lost"])
    def test_of_a_graph_that_one_worker_has_not_described_the_name_alone_is_checked(self, ask, digest):
        both = {"fleet": ["one", "two"]}
        silent = worker("two", **both).model_copy(update={"graphs": {"desk": digest}})
        assert len(ask(worker("one", DESK, **both), silent, DESK, graph="desk", input={"odd": 1}).events) == 1

    def test_without_a_default_graph_that_all_agree_on_nothing_is_said_of_the_input(self, ask):
        both = {"fleet": ["one", "two"]}
        fleet = worker("one", DESK, default_graph="desk", **both), worker("two", ECHO, default_graph="echo", **both)
        assert len(ask(*fleet, DESK, ECHO, input={"odd": 1}).events) == 1

    def test_a_worker_that_died_is_believed_no_longer_than_three_of_its_records(self, ask):
        old = worker("two", ECHO, announced_at=NOW - timedelta(seconds=BELIEVED_SECONDS + 1))
        with pytest.raises(GraphCheckError, match=r"named 'echo'\. Known: desk\."):
            ask(worker("one", DESK), old, DESK, ECHO, graph="echo")
        young = worker("two", ECHO, announced_at=datetime.now(UTC) - timedelta(seconds=BELIEVED_SECONDS - 30))
        assert len(ask(worker("one", DESK), young, DESK, ECHO, graph="echo").events) == 1


class TestWanted:
    @pytest.mark.parametrize(
        ("argument", "configured", "checks"),
        [
            (None, "", False),
            (None, "True", True),
            (None, "false", False),
            (True, "false", True),
            (False, "true", False),
        ],
    )
    def test_the_operator_says_so_else_the_configuration(self, ask, monkeypatch, argument, configured, checks):
        monkeypatch.setenv("AIRFLOW__LANGGRAPH__CHECK_GRAPHS", configured)
        hook = ask(*FLEET, graph="desk", input=GOOD, check_graph=argument)
        assert hook.read == (["workflow-graphs"] if checks else [])

    def test_the_fleets_own_topic_is_read_for_a_bounded_time(self, ask):
        hook = ask(worker("one", DESK, events_topic="risk.workflow-events"), graph="desk", fleet="risk")
        assert hook.read == ["risk.workflow-graphs"]
        assert hook.made[0]["timeout"] == CHECK_SECONDS

    @pytest.mark.parametrize("value", ["yes", 1, 0, "{{ x }}"])
    def test_another_value_is_refused_when_the_dag_is_parsed(self, value):
        with pytest.raises(SettingsError, match="check_graph must be True, False or None, not"):
            LangGraphTriggerOperator(task_id="agent", check_graph=value)

    def test_another_configuration_is_refused_when_the_task_runs(self, ask, monkeypatch):
        monkeypatch.setenv("AIRFLOW__LANGGRAPH__CHECK_GRAPHS", "maybe")
        with pytest.raises(SettingsError, match="check_graphs of Airflow's configuration must be true or false"):
            ask(*FLEET, graph="desk", check_graph=None)
