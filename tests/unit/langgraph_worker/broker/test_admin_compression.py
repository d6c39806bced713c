"""Topics that take compressed records are named, each with the command that mends it."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from langgraph_worker.broker.kafka.admin import Cluster
from langgraph_worker.broker.kafka.topic_risks import compressed
from langgraph_worker.settings.load import load_settings

SETTINGS = load_settings({"fleet": "risk", "allowed_reply_topics": "others", "kafka_bootstrap_servers": "b:9092"})
USED = {spec.name for spec in SETTINGS.topics.specs()} | {"others"}


class Admin:
    """Knows what each topic does with compressed records, and reports what it is asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def compressions(self, topics: Collection[str]) -> dict[str, str]:
        return {name: value for name, value in self._values.items() if name in topics}


def found(values: dict[str, str], present: Collection[str] = USED) -> list[str]:
    return compressed(Admin(values), Cluster("c", 1, frozenset(present)), SETTINGS)


@pytest.mark.parametrize("value", ["producer", "zstd", "gzip"])
@pytest.mark.parametrize("topic", sorted(USED))
def test_each_topic_that_takes_compressed_records_is_named(topic, value):
    (problem,) = found(dict.fromkeys(USED, "uncompressed") | {topic: value})
    assert f"topic {topic} has compression.type={value}" in problem
    assert f"--bootstrap-server b:9092 --alter --entity-type topics --entity-name {topic} " in problem
    assert problem.endswith("--add-config compression.type=uncompressed")


def test_other_topics_are_not_looked_at():
    assert found({"strange": "zstd"}, {"strange", *USED}) == []


def test_what_is_not_there_or_not_reported_is_no_problem():
    assert found({}) == []
    assert found({"risk.workflow-events": "zstd"}, ()) == []
