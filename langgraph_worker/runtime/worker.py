"""The running worker: its start in order, its stop in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from langgraph_worker import __version__
from langgraph_worker.broker.kafka.admin import Cluster, topic_limit
from langgraph_worker.broker.kafka.best_effort_producer import KafkaBestEffortProducer
from langgraph_worker.broker.kafka.client_configs import best_effort_config, producer_config
from langgraph_worker.broker.kafka.events_lag import EventsLag
from langgraph_worker.broker.kafka.preflight import preflight
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.broker.kafka.topic_ids import TopicIds
from langgraph_worker.broker.port import Control, Events
from langgraph_worker.errors import SettingsError, unexpected
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.intake.events_topic import EventsTopic
from langgraph_worker.runtime.components import Components, Foundation, assemble
from langgraph_worker.runtime.health_probe import HealthProbe, beat
from langgraph_worker.runtime.run_parts import open_run_parts
from langgraph_worker.runtime.supervisor import Part, Supervisor, wait_and_complain, wait_within
from langgraph_worker.runtime.traces import open_tracing
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.telemetry.health import Health
from langgraph_worker.telemetry.health_server import HealthServer
from langgraph_worker.telemetry.metrics import Metrics
from langgraph_worker.telemetry.progress import Progress

logger = logging.getLogger(__name__)

_REACH_KAFKA_SECONDS = 10.0  # at the start
_LEAVE_SECONDS = 10.0  # to leave the group
_FLUSH_SECONDS = 5.0  # for results to be acknowledged while stopping
_LAST_FLUSH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts that the stop waits for or cancels one by one; the others end with their component."""

    leases: Part
    outbox: Part
    intake: Part
    housekeeping: Part


class Worker:
    """One worker process.

    :param graphs: loaded before the event loop runs: importing a project may take long, or run a loop of its own.
    :param nodes: the default executor of the event loop.
    """

    def __init__(self, settings: WorkerSettings, graphs: Graphs, nodes: NodeThreads) -> None:
        self._settings = settings
        self._graphs = graphs
        self._nodes = nodes
        self._supervisor = Supervisor()
        self._is_steered = asyncio.Event()
        self._health = Health(settings.hang_seconds)
        self._metrics = Metrics(graphs.names, settings.concurrency, graphs.release)

    def stop(self) -> None:
        """Begin an orderly stop. Idempotent; call it in the event loop."""
        self._supervisor.request_stop()

    async def run(self) -> int:
        """Work until :meth:`stop`, or until a part of the worker fails; the process's exit code.

        :raises WorkerError: it cannot start: settings, broker or store.
        """
        settings = self._settings
        async with AsyncExitStack() as stack:
            self._open_port(stack)
            cluster = await asyncio.to_thread(preflight, settings, _REACH_KAFKA_SECONDS)
            foundation = await self._open(stack, cluster)
            await self._work(assemble(settings, self._graphs, self._nodes, foundation), foundation)
        failure = self._supervisor.failure
        if failure is not None:
            logger.critical("the worker ends: %s", failure, exc_info=unexpected(failure))
            return 2 if isinstance(failure, SettingsError) else 1
        logger.info("worker stopped", extra={"action": "stopped"})
        return 0

    def _open_port(self, stack: AsyncExitStack) -> None:
        """Answer from now on: how the worker starts is part of how it is."""
        settings = self._settings
        if settings.health_port is None:
            return
        part = self._supervisor.start("health", beat(self._health))
        stack.push_async_callback(part.end)
        server = HealthServer(settings.health_host, settings.health_port, self._health, self._metrics)
        stack.callback(server.close)

    async def _open(self, stack: AsyncExitStack, cluster: Cluster) -> Foundation:
        settings = self._settings
        tracing = open_tracing(stack, settings, self._graphs.redactor)
        runs = await open_run_parts(stack, settings, self._graphs, metrics=self._metrics)
        risk = runs.store.database.risk
        if risk:
            logger.warning("%s", risk, extra={"action": "store_risk"})
        producer = AckProducer(producer_config(settings), partial(topic_limit, settings))
        stack.callback(producer.close, _LAST_FLUSH_SECONDS)
        topic = await self._events_topic(stack, runs.store, cluster)
        return Foundation(cluster, runs, producer, self._open_progress(stack, cluster), topic, tracing)

    async def _events_topic(self, stack: AsyncExitStack, store: RunStore, cluster: Cluster) -> EventsTopic:
        name, topic_id = self._settings.kafka_workflow_events_topic, cluster.events_topic_id
        ids = TopicIds(self._settings)
        stack.callback(ids.close)
        first = ""
        if topic_id:
            place = cluster.cluster_id, name, topic_id
            first = await retry_store(lambda: store.first_topic_id(*place), "note which events topic it is")
        return EventsTopic(name, lambda: ids.read(name), topic_id, first)

    def _open_progress(self, stack: AsyncExitStack, cluster: Cluster) -> Progress:
        settings = self._settings
        if not settings.progress_per_second:
            return Progress()
        topic, tokens = settings.kafka_workflow_progress_topic, settings.kafka_workflow_tokens_topic
        if topic not in cluster.topics:
            logger.warning("no progress is published: there is no topic %s", topic, extra={"action": "no_progress"})
            return Progress()
        if tokens is not None and tokens not in cluster.topics:
            logger.warning("no tokens are published: there is no topic %s", tokens, extra={"action": "no_progress"})
            tokens = None
        producer = KafkaBestEffortProducer(best_effort_config(settings))
        stack.callback(producer.close, _LAST_FLUSH_SECONDS)
        rate, redactor = settings.progress_per_second, self._graphs.redactor
        return Progress(producer, topic, tokens, settings.worker_id, rate, redactor=redactor)

    async def _work(self, components: Components, foundation: Foundation) -> None:
        parts = self._start(components)
        self._health.enter("joining")
        if self._settings.health_port is not None:
            probe = HealthProbe(self._health, self._metrics, foundation.runs.store, EventsLag(self._settings))
            self._supervisor.start("probe", probe.run())
        self._supervisor.watch("producer", foundation.producer.failed)
        await self._supervisor.stop_requested()
        await self._shut_down(components, parts)

    def _start(self, components: Components) -> _Parts:
        start, executor = self._supervisor.start, components.executor
        leases = start("leases", executor.keep_leases())
        outbox = start("outbox", components.outbox.run())
        intake = start("intake", components.intake.run())
        start("control", self._read_control(components.control))
        # Nothing may run, end or be taken in before the worker knows what was cancelled while no worker was there.
        housekeeping = start("housekeeping", self._steered_first(components.housekeeping.run))
        start("pauses", self._steered_first(components.pauses.run))
        # Stored runs continue at once: joining the group may take as long as the session of a killed member lasts.
        start("executor", self._steered_first(executor.run))
        start("consumer", self._steered_first(lambda: self._join_group(components.consumer)))
        if components.announcer is not None:
            start("announcer", self._steered_first(components.announcer.run))
        return _Parts(leases, outbox, intake, housekeeping)

    async def _shut_down(self, components: Components, parts: _Parts) -> None:
        """Take in nothing more and leave the group, so that others get the partitions at once; then let runs finish,
        give back what does not, and publish what there is.
        """
        self._health.enter("draining")
        logger.info(
            "stopping: runs have %g s at most to finish their step; a second Ctrl-C or SIGTERM ends it at once. "
            "Runs that are cut off continue later, from their last checkpoint",
            self._settings.drain_seconds,
            extra={"action": "stopping"},
        )
        components.free_room.stop()
        components.intake.stop()
        if components.announcer is not None:
            components.announcer.stop()
        await wait_within(_LEAVE_SECONDS, parts.intake.wait(), "the intake has not finished its batch")
        await asyncio.gather(
            wait_within(_LEAVE_SECONDS, components.consumer.close(), "leaving the consumer group takes too long"),
            components.executor.drain(0.0 if self._supervisor.failure else self._settings.drain_seconds),
        )
        await wait_within(_LEAVE_SECONDS, components.control.close(), "the control topic's reader does not end")
        parts.leases.cancel()
        parts.housekeeping.cancel()
        outbox = components.outbox
        outbox.stop()
        await wait_within(_FLUSH_SECONDS, parts.outbox.wait(), "the outbox is still waiting for its store")
        if not parts.outbox.has_failed:
            complaint = "results wait for the next start: Kafka does not take them now"
            await wait_within(_FLUSH_SECONDS, outbox.flush(), complaint)
        await self._supervisor.end_all()

    async def _read_control(self, control: Control) -> None:
        """Read the control topic until the reader is closed."""
        await wait_and_complain(control.start(), "has not read the control topic to its end yet")
        self._is_steered.set()
        await asyncio.shield(control.ended)

    async def _steered_first(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self._is_steered.wait()
        await work()

    async def _join_group(self, consumer: Events) -> None:
        """Consume until the consumer is closed."""
        group = self._settings.kafka_consumer_group_id
        complaint = f"not yet in group {group}: its coordinator has assigned no partitions"
        await wait_and_complain(consumer.start(), complaint)
        if not consumer.ended.done():
            self._health.enter("ready")
            self._log_ready()
            await asyncio.shield(consumer.ended)

    def _log_ready(self) -> None:
        settings = self._settings
        logger.info(
            "worker ready: graphs %s; %d runs at once; topic %s, group %s, %s; release %s, worker %s, version %s",
            ", ".join(sorted(self._graphs.names)),
            settings.concurrency,
            settings.kafka_workflow_events_topic,
            settings.kafka_consumer_group_id,
            settings.fleet_in_words,
            self._graphs.release,
            settings.worker_id,
            __version__,
            extra={"action": "ready"},
        )
