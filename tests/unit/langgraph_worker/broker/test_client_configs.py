"""What the worker's consumers unpack at once: every event that the worker takes, and little more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka import Consumer

from langgraph_worker.broker.kafka.client_configs import consumer_config, control_config
from langgraph_worker.settings.load import load_settings

BOTH = pytest.mark.parametrize("make", [consumer_config, control_config])
RECEIVES = "receive.message.max.bytes"


def config(make: Any, largest: int = 1_000_000, **given: Any) -> dict[str, Any]:
    """The configuration, which the client takes."""
    names = {name.replace("_", "."): value for name, value in given.items()}
    found = make(load_settings({"max_message_bytes": str(largest), "kafka_config": json.dumps(names)}))
    Consumer({**found, "log_level": 0}).close()
    return dict(found)


@BOTH
def test_it_reads_little_of_a_partition_at_once_unless_it_is_told_otherwise(make):
    assert config(make)["max.partition.fetch.bytes"] == 65_536
    assert config(make, max_partition_fetch_bytes=9_000)["max.partition.fetch.bytes"] == 9_000


def test_events_are_fetched_again_soon_after_enough_were_there():
    assert config(consumer_config)["fetch.queue.backoff.ms"] == 5
    assert config(consumer_config, fetch_queue_backoff_ms=700)["fetch.queue.backoff.ms"] == 700


def test_few_records_wait_in_the_client_as_it_does_not_count_headers():
    assert config(consumer_config)["queued.min.messages"] == 10
    assert config(control_config)["queued.min.messages"] == 100


@BOTH
def test_the_clients_default_is_left_where_it_is_enough(make):
    assert RECEIVES not in config(make, 33_000_000)


@BOTH
@pytest.mark.parametrize("largest", [34_000_000, 50_000_000, 500_000_000, 900_000_000])
def test_an_event_of_the_largest_size_is_unpacked(make, largest):
    """The client enlarges its memory threefold until a batch fits, see ``RECEIVES``."""
    assert config(make, largest)[RECEIVES] >= min(3 * largest, 2**31 - 1)


@BOTH
def test_what_the_administrator_sets_stands(make):
    assert config(make, 50_000_000, receive_message_max_bytes=60_000_000)[RECEIVES] == 60_000_000


@BOTH
def test_a_larger_fetch_of_the_administrator_is_taken(make):
    assert config(make, 50_000_000, fetch_max_bytes=200_000_000)[RECEIVES] >= 200_000_512
