"""What a connection holds in confidence, and who repeats it."""

from __future__ import annotations

import traceback

import pytest

from airflow_provider_langgraph.exceptions import KafkaSettingsError
from airflow_provider_langgraph.kafka.connection import KafkaConnection
from airflow_provider_langgraph.kafka.topic_admin import TopicAdmin


def test_a_refused_value_is_not_repeated_by_any_link_of_the_error():
    settings = {"bootstrap.servers": "localhost:1", "isolation.level": "geheim"}
    with pytest.raises(KafkaSettingsError, match=r'Invalid value for "isolation.level"') as caught:
        TopicAdmin(KafkaConnection("kafka_default", settings, 1.0))
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_a_connection_does_not_show_its_settings():
    assert "geheim" not in repr(KafkaConnection("kafka_default", {"sasl.password": "geheim"}, 1.0))
