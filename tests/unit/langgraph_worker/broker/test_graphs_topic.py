"""The graphs topic is never needed: what is wrong with it is said, with the remedy, and the worker starts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest

from langgraph_worker.broker.kafka.admin import Cluster
from langgraph_worker.broker.kafka.graphs_topic import create_topics, not_announced
from langgraph_worker.errors import BrokerError
from langgraph_worker.settings.load import load_settings
from workflow_events.topics import TopicSpec

SETTINGS = load_settings({"fleet": "risk", "kafka_bootstrap_servers": "b:9092"})
TOPIC = "risk.workflow-graphs"
CLUSTER = Cluster("c", 1, frozenset({TOPIC}))


class Admin:
    """Knows a topic's policy, and creates what the test allows."""

    def __init__(self, policy: str | None = None, refused: Collection[str] = ()) -> None:
        self._policy = policy
        self._refused = refused
        self.created: list[str] = []

    def policies(self, topics: Sequence[str]) -> dict[str, str]:
        return {} if self._policy is None else dict.fromkeys(topics, self._policy)

    def create(self, specs: Sequence[TopicSpec], brokers: int) -> None:
        for spec in specs:
            if spec.name in self._refused:
                raise BrokerError(f"cannot create topic {spec.name}: no")
            self.created.append(spec.name)


def found(admin: Any, cluster: Cluster = CLUSTER, **settings: str) -> list[str]:
    return not_announced(
        admin, cluster, load_settings({"fleet": "risk", "kafka_bootstrap_servers": "b:9092"} | settings)
    )


@pytest.mark.parametrize("policy", ["compact", "compact,delete", None])
def test_a_compacted_topic_and_one_of_an_unknown_policy_are_right(policy):
    assert found(Admin(policy)) == []


def test_one_that_is_missing_is_named_with_the_remedy():
    [problem] = found(Admin(), Cluster("c", 1, frozenset()))
    assert problem == (
        "no topic risk.workflow-graphs, or this user may not see it: the graphs are not announced, and operators with "
        "check_graph check nothing. Create it (`langgraph-worker run --create-topics` does), or grant this user WRITE "
        "on it"
    )
    assert found(Admin(), Cluster("c", 1, frozenset()), create_topics="true") == []


def test_one_that_is_not_compacted_is_named_with_the_command():
    [problem] = found(Admin("delete"))
    assert problem.startswith("topic risk.workflow-graphs has cleanup.policy=delete: ")
    assert problem.endswith(
        "kafka-configs.sh --bootstrap-server b:9092 --alter --entity-type topics --entity-name risk.workflow-graphs "
        "--add-config cleanup.policy=[compact,delete]"
    )


def test_a_broker_that_does_not_create_it_is_a_warning(caplog):
    admin: Any = Admin(refused={TOPIC})
    create_topics(admin, SETTINGS.topics.specs(), CLUSTER, SETTINGS)
    assert admin.created == [spec.name for spec in SETTINGS.topics.specs() if spec.name != TOPIC]
    assert caplog.messages == ["cannot create topic risk.workflow-graphs: no"]


def test_a_broker_that_does_not_create_another_one_is_an_error():
    admin: Any = Admin(refused={"risk.workflow-results"})
    with pytest.raises(BrokerError, match=r"cannot create topic risk\.workflow-results"):
        create_topics(admin, SETTINGS.topics.specs(), CLUSTER, SETTINGS)
