"""What each side may do to Kafka at least: a real broker that allows nothing unasked, and each right missing once."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from airflow_provider_langgraph.exceptions import KafkaError, PublishError, WaitError
from airflow_provider_langgraph.hooks.kafka import KafkaHook
from airflow_provider_langgraph.task_log import wait_log
from airflow_provider_langgraph.waiting import consumer_thread
from airflow_provider_langgraph.waiting.cancel_on_kill import send_cancel
from airflow_provider_langgraph.waiting.shared_consumer import shared_consumer
from devtools.apache_kafka import ApacheKafka
from devtools.errors import MissingToolError
from devtools.kafka import real_kafka_required
from devtools.processes import wait_until
from devtools.worker import Worker
from langgraph_worker.broker.kafka.admin import ClusterAdmin
from langgraph_worker.broker.kafka.client_configs import producer_config
from langgraph_worker.broker.kafka.preflight import preflight
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.errors import BrokerError
from tests.support.guarded_kafka import TOPICS, Guarded, Right, client_of, guarded_kafka, worker_variables
from tests.support.polling import until
from tests.support.reply_routing import wait_for_result
from tests.support.worker import ODD, SECONDS, Desk, desk_of
from workflow_events import Fleet, ResultStatus
from workflow_events.topics import CONSUMER_GROUP

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]
log = logging.getLogger("this.task")

RIGHTS = (
    WRITE_EVENTS := Right("airflow", "Write", "events"),
    READ_RESULTS := Right("airflow", "Read", "results"),
    READ_PROGRESS := Right("airflow", "Read", "progress"),
    WRITE_CONTROL := Right("airflow", "Write", "control"),
    READ_GRAPHS := Right("airflow", "Read", "graphs"),
    READ_EVENTS := Right("worker", "Read", "events"),
    JOIN := Right("worker", "Read", "group"),
    READ_CONTROL := Right("worker", "Read", "control"),
    WRITE_RESULTS := Right("worker", "Write", "results"),
    WRITE_DEAD_LETTERS := Right("worker", "Write", "dead_letters"),
    WRITE_PROGRESS := Right("worker", "Write", "progress"),
    WRITE_GRAPHS := Right("worker", "Write", "graphs"),
    EVENTS_SETTINGS := Right("worker", "DescribeConfigs", "events"),
    RESULTS_SETTINGS := Right("worker", "DescribeConfigs", "results"),
)
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "connect-to-kafka.md"
REFUSED = r"TOPIC_AUTHORIZATION_FAILED: .*grant it the ACLs that the documentation lists"


def twins(right: Right) -> Right:
    """The same right of a second worker's user: what it lacks does not disturb the first worker."""
    return right._replace(who="twin")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A broker where airflow, worker and twin have these rights, onlooker writes nothing, nobody has none; a worker."""
    try:
        broker: ApacheKafka = guarded_kafka("airflow", "worker", "twin", "onlooker", "nobody")
    except MissingToolError as error:
        if real_kafka_required():
            raise
        pytest.skip(str(error))
    variables = worker_variables(broker, "worker")
    with broker, desk_of(broker, tmp_path_factory.mktemp("worker"), variables=variables) as desk:
        guarded = Guarded(broker, desk)
        for right in RIGHTS:
            guarded.grant(right)
            if right.who == "worker":
                guarded.grant(twins(right))
        for topic in ("events", "results"):
            guarded.grant(Right("onlooker", "Describe", topic))
        with desk.worker:
            yield guarded


@pytest.fixture
def connect(guarded, monkeypatch):
    """Makes a user Airflow's."""

    def connect(user):
        extra = {"conn_type": "kafka", "extra": client_of(guarded.broker, user)}
        monkeypatch.setenv("AIRFLOW_CONN_KAFKA_DEFAULT", json.dumps(extra))

    connect("airflow")
    return connect


async def logged(caplog, text):
    await until(lambda: any(re.search(text, record.getMessage()) for record in caplog.records), SECONDS)


def start_again(desk: Desk) -> None:
    desk.worker.stop()
    desk.worker.launch()
    desk.worker.wait_ready()


def test_the_page_lists_these_rights_and_grants_them():
    section = PAGE.read_text().split("## Rights (ACLs)")[1].split("\n## ")[0]
    places = {place: f"topic `{getattr(Fleet(), place)}`" for place in TOPICS} | {"group": f"group `{CONSUMER_GROUP}`"}
    rights = sorted((right.who, right.operation, places[right.place]) for right in RIGHTS)
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in section.splitlines() if line.startswith("| ")]
    assert sorted(map(tuple, rows[1:])) == rights
    granted = []
    for line in re.findall(r"^acls (.*)$", section, re.MULTILINE):
        words = shlex.split(line)
        pairs = list(zip(words[::2], words[1::2], strict=True))
        who = dict(pairs)["--allow-principal"].removeprefix("User:")
        where = [f"{option[2:]} `{name}`" for option, name in pairs if option in ("--topic", "--group")]
        granted += [(who, dict(pairs)["--operation"], place) for place in where]
    assert sorted(granted) == rights


async def test_with_these_rights_everything_works(guarded, connect, caplog):
    caplog.set_level(logging.INFO)
    gate = guarded.desk.gate()
    handle = await asyncio.to_thread(guarded.ask, "tells", gate.data)
    waiting = asyncio.create_task(wait_for_result(handle, log))
    await logged(caplog, "Agent: .*taken by worker")
    gate.open()
    reply = await waiting
    assert reply.status is ResultStatus.SUCCESS
    assert await wait_for_result(handle, log) == reply  # read back

    gate = guarded.desk.gate()
    handle = await asyncio.to_thread(guarded.ask, "gated", gate.data)
    await asyncio.to_thread(gate.wait_for, "waiting")
    send_cancel(handle, KafkaHook().settings(), "enough")
    assert (await wait_for_result(handle, log)).status is ResultStatus.CANCELLED

    guarded.desk.send(b"{")
    [letter] = guarded.desk.kafka.read(guarded.fleet.dead_letters, 1)
    assert letter.value() == b"{"
    assert "AUTHORIZATION_FAILED" not in caplog.text
    assert "may not use" not in guarded.desk.worker.child.output()


class TestAirflow:
    @pytest.mark.parametrize("user", ["airflow", "nobody"])
    @pytest.mark.parametrize(
        ("right", "call"),
        [
            (WRITE_EVENTS, lambda hook, topic, event: hook.publish(event, topic)),
            (WRITE_EVENTS, lambda hook, topic, event: hook.require_topics(topic)),
            (READ_RESULTS, lambda hook, topic, event: hook.end_offsets(topic)),
            (WRITE_CONTROL, lambda hook, topic, event: hook.cancel(uuid4(), topic)),
        ],
        ids=["publish", "require", "ends", "cancel"],
    )
    def test_what_a_task_may_not_do_is_a_named_error(self, guarded, connect, right, user, call):
        connect(user)
        topic = guarded.name(right.place)
        with guarded.without(right), pytest.raises(KafkaError, match=f"{topic}: {REFUSED}"):
            call(KafkaHook(), topic, guarded.event())

    def test_a_user_who_may_write_nothing_at_all_is_told_so(self, guarded, connect):
        connect("onlooker")
        with pytest.raises(PublishError, match=f"{guarded.fleet.events}: CLUSTER_AUTHORIZATION_FAILED.*grant it"):
            KafkaHook().publish(guarded.event(), guarded.fleet.events)

    @pytest.mark.parametrize("sees", [False, True])
    async def test_a_waiter_that_may_not_read_ends_with_a_named_error(self, guarded, connect, monkeypatch, sees):
        monkeypatch.setattr(consumer_thread, "HOPELESS_SECONDS", 0.5)
        handle = await asyncio.to_thread(guarded.ask, "echo", {})
        with ExitStack() as stack:
            stack.enter_context(guarded.without(READ_RESULTS))
            if sees:
                guarded.grant(describe := READ_RESULTS._replace(operation="Describe"))
                stack.callback(guarded.revoke, describe)
            async with shared_consumer(KafkaHook().settings(), guarded.fleet.results) as listener:
                with pytest.raises(WaitError, match=rf"cannot read {guarded.fleet.results}(\[\d\])?: {REFUSED}"):
                    await asyncio.wait_for(listener.wait(handle), SECONDS)

    async def test_a_waiter_goes_on_when_the_right_is_back_in_time(self, guarded, connect):
        handle = await asyncio.to_thread(guarded.ask, "echo", {})
        async with shared_consumer(KafkaHook().settings(), guarded.fleet.results) as listener:
            with guarded.without(READ_RESULTS):
                waiting = listener.wait(handle)
                while listener.trouble is None:
                    await asyncio.wait({waiting}, timeout=0.05)
                assert re.search(REFUSED, listener.trouble)
            assert (await asyncio.wait_for(waiting, SECONDS)).topic == guarded.fleet.results

    async def test_without_progress_the_lines_are_missing_and_nothing_else(self, guarded, connect, caplog, monkeypatch):
        monkeypatch.setattr(wait_log, "NO_WORKER_SECONDS", 1.0)
        caplog.set_level(logging.INFO)
        gate = guarded.desk.gate()
        with guarded.without(READ_PROGRESS):
            handle = await asyncio.to_thread(guarded.ask, "tells", gate.data)
            waiting = asyncio.create_task(wait_for_result(handle, log))
            await logged(caplog, f"What the agent does cannot be shown: {REFUSED}")
            gate.open()
            assert (await waiting).status is ResultStatus.SUCCESS
        assert "Agent: " not in caplog.text

    def test_announcements_that_it_may_not_read_are_a_named_error(self, guarded, connect):
        hook = KafkaHook(fleet=guarded.desk.kafka.prefix)
        wait_until("the worker's announcement", hook.announcements, timeout=SECONDS)
        with guarded.without(READ_GRAPHS), pytest.raises(KafkaError, match=f"cannot read {guarded.fleet.graphs}: "):
            hook.announcements()

    async def test_a_cancel_is_sent_when_the_right_is_there(self, guarded, connect, caplog):
        gate = guarded.desk.gate()
        handle = await asyncio.to_thread(guarded.ask, "gated", gate.data)
        await asyncio.to_thread(gate.wait_for, "waiting")
        with guarded.without(WRITE_CONTROL):
            send_cancel(handle, KafkaHook().settings(), "enough")
            await logged(caplog, f"cancel of request {handle.correlation_id} could not be sent yet: {REFUSED}")
        assert (await wait_for_result(handle, log)).status is ResultStatus.CANCELLED


class TestWorker:
    @pytest.mark.parametrize("right", [READ_EVENTS, READ_CONTROL, WRITE_RESULTS, WRITE_DEAD_LETTERS])
    def test_a_topic_that_it_may_not_use_ends_its_start(self, guarded, right):
        named = f"no topic {guarded.name(right.place)} at .*, or this user may not see it"
        with guarded.without(twins(right)), pytest.raises(BrokerError, match=named):
            preflight(guarded.worker_settings("twin"), SECONDS)

    def test_a_group_that_it_may_not_use_ends_its_start(self, guarded, tmp_path):
        environment = guarded.desk.worker.environment | worker_variables(guarded.broker, "twin")
        with guarded.without(twins(JOIN)):
            child = Worker(guarded.broker, ODD, tmp_path, fleet=guarded.desk.kafka.prefix, env=environment).launch()
            assert child.wait(SECONDS) == 1
            with pytest.raises(BrokerError, match=f"group {guarded.desk.group}: this user may not use"):
                ClusterAdmin(guarded.worker_settings("twin")).members(guarded.desk.group)  # as `check` does
        assert "this user may not use the consumer group" in child.output()
        assert "Grant it READ on the group" in child.output()

    def test_nobody_sees_no_topic(self, guarded):
        with pytest.raises(BrokerError, match=r"no topics? .*, or this user may not see (it|them)"):
            preflight(guarded.worker_settings("nobody"), SECONDS)

    async def test_a_user_who_may_write_nothing_at_all_ends_it(self, guarded):
        producer = AckProducer(producer_config(guarded.worker_settings("onlooker")))
        sending = asyncio.create_task(producer.send(guarded.fleet.results, b"key", b"value", []))
        with pytest.raises(BrokerError, match=r"lacks a right .*Grant it WRITE on the results topic"):
            await asyncio.wait_for(producer.failed, SECONDS)
        await asyncio.to_thread(producer.close, 1)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    @pytest.mark.parametrize("right", [EVENTS_SETTINGS, RESULTS_SETTINGS])
    def test_what_it_may_not_know_of_a_topic_is_left_out(self, guarded, right):
        topic = guarded.name(right.place)
        admin = ClusterAdmin(guarded.worker_settings("twin"))
        assert admin.retention(topic) == timedelta(days=7)
        assert topic in admin.size_limits({topic})
        with guarded.without(twins(right)):
            preflight(guarded.worker_settings("twin"), SECONDS)
            assert admin.retention(topic) is None
            assert admin.size_limits({topic}) == {}

    def test_it_creates_topics_with_one_right_more(self, guarded):
        name = f"{guarded.desk.kafka.prefix}-new"
        settings = guarded.worker_settings("twin", kafka_workflow_progress_topic=name, create_topics="true")
        guarded.grant(Right("twin", "Write", name))
        with pytest.raises(BrokerError, match=f"cannot create topic {name}: this user may not use the topic"):
            preflight(settings, SECONDS)
        guarded.grant(Right("twin", "Create", name))
        assert name in preflight(settings, SECONDS).topics

    def test_without_progress_it_works_and_tells_nothing(self, guarded):
        with guarded.without(WRITE_PROGRESS):
            start_again(guarded.desk)
            guarded.desk.logged(f"no progress is published: there is no topic {guarded.fleet.progress}")
            assert guarded.desk.run("echo").status is ResultStatus.SUCCESS
        start_again(guarded.desk)

    def test_without_the_graphs_topic_it_works_and_announces_nothing(self, guarded):
        with guarded.without(WRITE_GRAPHS):
            start_again(guarded.desk)
            guarded.desk.logged(f"no topic {guarded.fleet.graphs}, or this user may not see it: the graphs are not")
            assert guarded.desk.run("echo").status is ResultStatus.SUCCESS
        start_again(guarded.desk)

    def test_results_that_it_may_not_write_are_kept(self, guarded):
        desk = guarded.desk
        with guarded.without(WRITE_RESULTS):
            event = desk.ask("echo")
            line = desk.logged(
                f"a result cannot be published: topic {guarded.fleet.results}: this user may not use the topic"
            )
            assert f"It is tried again in 60 s (request {str(event)[:8]})" in line
        start_again(desk)
        assert desk.answer(event).status is ResultStatus.SUCCESS

    def test_it_stops_rather_than_lose_a_dead_letter(self, guarded):
        desk = guarded.desk
        with guarded.without(WRITE_DEAD_LETTERS):
            partition, offset = desk.send(b"[")
            assert desk.worker.child.wait(SECONDS) == 1
        said = desk.worker.child.output()
        assert f"the dead letter of {guarded.fleet.events}[{partition}]@{offset} cannot be written" in said
        assert f"topic {guarded.fleet.dead_letters}: this user may not use the topic" in said
        start_again(desk)
        wait_until(
            "the dead letter",
            lambda: b"[" in {letter.value() for letter in desk.kafka.read_all(guarded.fleet.dead_letters)},
            timeout=SECONDS,
        )
