from __future__ import annotations

from concurrent.futures import Future
from contextlib import nullcontext

import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from devtools import kafka as chooser
from devtools.apache_kafka import ApacheKafka
from devtools.broker import ExternalBroker, require_ready
from devtools.embedded_broker import EmbeddedBroker
from devtools.errors import BrokerError, DevtoolsError, MissingToolError, NoRealKafkaError
from devtools.processes import free_port
from tests.support.kafka import KafkaTopics

pytestmark = pytest.mark.integration


def test_a_record_comes_back_from_a_topic_of_its_own(kafka):
    place = kafka.produce(kafka.fleet.events, b"body", key=b"key", headers=[("name", b"value")])
    [message] = kafka.read(kafka.fleet.events, 1)
    assert (message.partition(), message.offset()) == place
    assert (message.value(), message.key(), message.headers()) == (b"body", b"key", [("name", b"value")])
    assert kafka.read_all(kafka.fleet.results) == []


@pytest.mark.timeout(120)
def test_apache_kafka_keeps_data_and_port_over_a_stop_and_a_kill():
    with apache_kafka() as broker:
        topics = KafkaTopics(broker, "kept")
        topics.create("kept", partitions=1)
        topics.produce("kept", b"before")
        broker.stop()
        broker.start()
        topics.produce("kept", b"between")
        broker.kill()
        broker.start()
        assert [message.value() for message in topics.read("kept", 2)] == [b"before", b"between"]
        folder = broker.directory
    assert not folder.exists()


@pytest.mark.timeout(60)
def test_the_embedded_broker_is_ready_at_once_and_for_this_machine_only():
    with EmbeddedBroker() as broker:
        assert broker.bootstrap_servers in broker.description
        listening = psutil.Process(broker.child.pid).net_connections()
        assert {one.laddr.ip for one in listening if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        topics = KafkaTopics(broker, "ready")
        topics.create("ready")
        topics.produce("ready", b"body")
        assert [message.value() for message in topics.read("ready", 1)] == [b"body"]


def test_the_second_listener_takes_the_right_password(sasl):
    ExternalBroker(sasl["bootstrap.servers"], sasl).start()


def test_the_second_listener_refuses_a_wrong_password(sasl):
    broker = ExternalBroker(sasl["bootstrap.servers"], {**sasl, "sasl.password": "wrong"})
    with pytest.raises(BrokerError, match="Authentication failed"):
        broker.start()


def test_a_broker_that_is_not_there_is_named():
    port = free_port()
    with pytest.raises(BrokerError, match=rf"127\.0\.0\.1:{port} .*KAFKA_BOOTSTRAP_SERVERS.* Connection refused"):
        ExternalBroker(f"127.0.0.1:{port}").start()


class Fencing:
    """The admin client of a broker that Kafka's controller keeps fenced, for so many more requests."""

    requests = 0

    def __init__(self, config):
        self.real = AdminClient(config)

    def create_topics(self, topics, **options):
        Fencing.requests -= 1
        if Fencing.requests < 0:
            return self.real.create_topics(topics, **options)
        refused = Future()
        refused.set_exception(KafkaException(KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, "all fenced")))
        return {topics[0].topic: refused}

    def __getattr__(self, name):
        return getattr(self.real, name)


@pytest.mark.parametrize("is_up", [pytest.param(False, id="just_started"), pytest.param(True, id="up_for_long")])
def test_a_fenced_broker_is_waited_for_unless_it_is_said_to_be_up(broker, monkeypatch, is_up):
    monkeypatch.setattr("devtools.broker.AdminClient", Fencing)
    monkeypatch.setattr(Fencing, "requests", 3)
    with pytest.raises(BrokerError, match="all fenced") if is_up else nullcontext():
        require_ready(broker, is_up=is_up)


def test_an_unknown_setting_is_named():
    with pytest.raises(BrokerError, match=r"sasl\.pasword"):
        ExternalBroker("127.0.0.1:9", {"sasl.pasword": "x"}).start()


def test_the_environment_names_a_broker(monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
    monkeypatch.setenv("KAFKA_CONFIG", '{"security.protocol": "SSL"}')
    broker = chooser.choose()
    assert broker.client == {"bootstrap.servers": "kafka.example:9092", "security.protocol": "SSL"}
    assert "kafka.example:9092" in broker.description


@pytest.mark.parametrize("config", ["{", "[]"])
def test_settings_that_are_no_json_object_are_refused(monkeypatch, config):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
    monkeypatch.setenv("KAFKA_CONFIG", config)
    with pytest.raises(DevtoolsError, match="KAFKA_CONFIG"):
        chooser.choose()


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    """No broker in the environment, no Docker engine, no Java."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CI", "DEVTOOLS_REQUIRE_APACHE_KAFKA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine")
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("bare_machine")
def test_a_bare_machine_gets_the_embedded_broker():
    with chooser.choose() as broker:
        assert broker.kind == "embedded"


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize("variable", ["CI", "DEVTOOLS_REQUIRE_APACHE_KAFKA"])
def test_ci_takes_no_stand_in(monkeypatch, variable):
    monkeypatch.setenv(variable, "true")
    with pytest.raises(NoRealKafkaError, match=r"no Docker engine.* Java is not installed.* KAFKA_BOOTSTRAP_SERVERS="):
        chooser.choose()


def apache_kafka() -> ApacheKafka:
    try:
        return ApacheKafka()
    except MissingToolError as error:
        if chooser.real_kafka_required():
            raise
        pytest.skip(str(error))
