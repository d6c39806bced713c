"""The short form that CI runs: one group of the worker's consumers. ``python -m tests.storm`` is the whole."""

from __future__ import annotations

import os

import pytest

from tests.storm.group_storm import PROTOCOLS, GroupStorm
from tests.support.kafka import KafkaTopics

SECONDS = 8.0
SEED = int(os.environ.get("STORM_SEED", "1"))


@pytest.mark.integration
@pytest.mark.timeout(120)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_group_that_never_rests_loses_and_skips_nothing(kafka: KafkaTopics, protocol: str) -> None:
    if kafka.broker.kind == "embedded":
        pytest.skip("the embedded broker knows one protocol, and tells wrong end offsets")
    storm = GroupStorm(kafka, protocol, SEED)
    await storm.run(SECONDS)
    assert storm.violations == [], storm.summary()
