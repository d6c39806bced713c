"""The running worker: its parts wired together, its start in order, its stop in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from langgraph_worker import __version__
from langgraph_worker.bounds import Bounds
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.control import Steering
from langgraph_worker.deadletters import DeadLetters
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.executor import Executor
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.intake import Intake, Rules
from langgraph_worker.kafka.config import consumer_config, control_config, notices_config, producer_config
from langgraph_worker.kafka.consumer import EventConsumer
from langgraph_worker.kafka.control import ControlReader
from langgraph_worker.kafka.notices import KafkaNotices
from langgraph_worker.kafka.port import Batch, Control
from langgraph_worker.kafka.producer import AckProducer
from langgraph_worker.kafka.topics import Cluster, preflight
from langgraph_worker.outbox import Outbox
from langgraph_worker.patience import persist
from langgraph_worker.progress import Progress
from langgraph_worker.run import Runner
from langgraph_worker.settings import WorkerSettings
from langgraph_worker.store.port import RunStore, WorkerInfo
from langgraph_worker.store.sql import SqlRunStore
from langgraph_worker.threads import NodeThreads

logger = logging.getLogger(__name__)

_REACH_KAFKA = 10.0  # seconds at start
_COMPLAIN = 30.0
_LOOK_EVERY = 1.0
_ANNOUNCE_EVERY = 10.0
_FLUSH = 5.0  # seconds for results to be acknowledged while stopping
_LAST_FLUSH = 1.0
_LEAVE = 10.0  # seconds to leave the group


def make_store(settings: WorkerSettings) -> SqlRunStore:
    """The run store of the settings, not opened yet."""
    return SqlRunStore(
        settings.store_url, max_result_bytes=settings.max_message_bytes, lease_seconds=settings.lease_seconds
    )


class Worker:
    """One worker process.

    :param graphs: loaded before the event loop runs: importing a project may take its time, or a loop of its own.
    :param nodes: the default executor of the event loop.
    """

    def __init__(self, settings: WorkerSettings, graphs: Graphs, nodes: NodeThreads) -> None:
        self._settings = settings
        self._graphs = graphs
        self._nodes = nodes
        self._stop = asyncio.Event()
        self._is_steered = asyncio.Event()
        self._failure: BaseException | None = None
        self._parts: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        """Begin an orderly stop. Idempotent; call it in the event loop."""
        self._stop.set()

    async def run(self) -> int:
        """Work until :meth:`stop`, or until a part of the worker fails; the process's exit code.

        :raises WorkerError: it cannot start: settings, broker or store.
        """
        settings = self._settings
        cluster = await asyncio.to_thread(preflight, settings, _REACH_KAFKA)
        async with AsyncExitStack() as stack:
            store = make_store(settings)
            await store.open()
            stack.push_async_callback(store.close)
            checkpoints = Checkpoints(store)
            await checkpoints.setup()
            producer = AckProducer(producer_config(settings))
            stack.callback(producer.close, _LAST_FLUSH)
            progress = self._progress(stack, cluster)
            runner = Runner(
                self._graphs,
                checkpoints,
                store,
                worker_id=settings.worker_id,
                recursion_limit=settings.recursion_limit,
                max_step_bytes=settings.max_step_bytes,
                max_result_bytes=settings.max_message_bytes,
                progress=progress,
            )
            await self._work(store, runner, producer, cluster)
        if self._failure is not None:
            logger.critical("the worker ends: %s", self._failure, exc_info=_unexpected(self._failure))
            return 2 if isinstance(self._failure, SettingsError) else 1
        logger.info("worker stopped", extra={"action": "stopped"})
        return 0

    def _progress(self, stack: AsyncExitStack, cluster: Cluster) -> Progress:
        settings = self._settings
        if not settings.progress_per_second:
            return Progress()
        topic, tokens = settings.kafka_workflow_progress_topic, settings.kafka_workflow_tokens_topic
        if topic not in cluster.topics:
            logger.warning("no progress is told: there is no topic %s", topic, extra={"action": "no_progress"})
            return Progress()
        if tokens is not None and tokens not in cluster.topics:
            logger.warning("no tokens are told: there is no topic %s", tokens, extra={"action": "no_progress"})
            tokens = None
        notices = KafkaNotices(notices_config(settings))
        stack.callback(notices.close, _LAST_FLUSH)
        return Progress(notices, topic, tokens, settings.worker_id, settings.progress_per_second)

    async def _work(self, store: RunStore, runner: Runner, producer: AckProducer, cluster: Cluster) -> None:
        settings = self._settings
        dead_letters = DeadLetters(producer, settings.kafka_workflow_dead_letters_topic, settings.worker_id)
        outbox = Outbox(store, producer, dead_letters)
        bounds = Bounds(store, settings)

        def regrant() -> None:
            shut = self._stop.is_set() or bounds.is_full
            consumer.allow(0 if shut else intake.taken + executor.room())

        def accepted(count: int) -> None:
            executor.accepted(count)
            outbox.wake()  # a refusal or a repeat is answered without a run
            regrant()

        def commit(batch: Batch) -> None:
            consumer.commit(batch)

        def steered() -> None:
            outbox.wake()
            executor.keeper.hurry()

        executor = Executor(
            store, runner, self._graphs.names, self._nodes, settings, on_room=regrant, on_result=outbox.wake
        )
        runner.checkpoints.ensure = executor.keeper.ensure
        rules = Rules.of(settings, self._graphs.names)
        intake = Intake(rules, store, dead_letters, runner.progress, commit, accepted)
        topic = settings.kafka_workflow_events_topic
        consumer = EventConsumer(consumer_config(settings), topic, cluster.cluster_id, intake.offer)
        steering = Steering(store, cluster.retention, steered)
        control = ControlReader(
            control_config(settings),
            settings.kafka_workflow_control_topic,
            cluster.cluster_id,
            cluster.retention,
            steering.take,
        )
        self._start(executor.keeper.run(), "leases")
        self._start(outbox.run(), "outbox")
        self._start(intake.run(), "intake")
        self._start(self._read_control(control), "control")
        # Nothing runs, ends or is taken in before what was cancelled while no worker was there is known.
        self._start(self._steered_first(lambda: self._look_after(store, outbox, bounds)), "care")
        # What the store has goes on at once: joining the group may take as long as a killed member's session lasts.
        self._start(self._steered_first(executor.run), "executor")
        self._start(self._steered_first(lambda: self._join_group(consumer)), "consumer")
        self._watch(producer.failed, "producer")
        await self._stop.wait()
        await self._shut_down(consumer, control, intake, executor, outbox)

    async def _read_control(self, control: Control) -> None:
        """Read the control topic until the reader is closed."""
        await self._patiently(control.start(), "has not read the control topic to its end yet")
        self._is_steered.set()
        await asyncio.shield(control.ended)

    async def _steered_first(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self._is_steered.wait()
        await work()

    @staticmethod
    async def _patiently(work: Coroutine[Any, Any, None], complaint: str) -> None:
        """Wait for it, and complain now and then."""
        task = asyncio.create_task(work)
        while not task.done():
            await asyncio.wait({task}, timeout=_COMPLAIN)
            if not task.done():
                logger.warning("%s", complaint, extra={"action": "waiting"})
        task.result()

    async def _join_group(self, consumer: EventConsumer) -> None:
        """Consume until the consumer is closed."""
        group = self._settings.kafka_consumer_group_id
        await self._patiently(consumer.start(), f"not yet in group {group}: its coordinator has assigned no partitions")
        if not consumer.ended.done():
            self._log_ready()
            await asyncio.shield(consumer.ended)

    def _log_ready(self) -> None:
        settings = self._settings
        logger.info(
            "worker ready: langgraph-worker %s as %s, %d runs at once, graphs %s, topic %s, group %s",
            __version__,
            settings.worker_id,
            settings.concurrency,
            ", ".join(sorted(self._graphs.names)),
            settings.kafka_workflow_events_topic,
            settings.kafka_consumer_group_id,
            extra={"action": "ready"},
        )

    async def _look_after(self, store: RunStore, outbox: Outbox, bounds: Bounds) -> None:
        """What is due every second, and now and then."""
        grace = self._settings.unknown_graph_grace_seconds
        names = self._graphs.names
        announced = -_ANNOUNCE_EVERY
        while True:
            if time.monotonic() - announced >= _ANNOUNCE_EVERY:
                await persist(lambda: store.announce(self._info()), "announce this worker")
                announced = time.monotonic()
            if await persist(lambda: store.expire(names, grace), "end what waited too long"):
                outbox.wake()
            await bounds.look()
            await asyncio.sleep(_LOOK_EVERY)

    def _info(self) -> WorkerInfo:
        settings = self._settings
        return WorkerInfo(
            settings.worker_id,
            __version__,
            settings.kafka_workflow_events_topic,
            settings.kafka_consumer_group_id,
            {graph.spec.name: graph.spec.description for graph in self._graphs},
        )

    def _start(self, part: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(part, name=name)
        self._parts.append(task)
        self._watch(task, name)

    def _watch(self, part: asyncio.Future[None], name: str) -> None:
        def ended(future: asyncio.Future[None]) -> None:
            error = None if future.cancelled() else future.exception()
            if error is not None:
                if self._failure is None:
                    self._failure = error
                logger.error("%s failed: %s", name, error, extra={"action": "failed"})
                self._stop.set()

        part.add_done_callback(ended)

    async def _shut_down(
        self, consumer: EventConsumer, control: Control, intake: Intake, executor: Executor, outbox: Outbox
    ) -> None:
        """Take in nothing more and leave the group, so that others get the partitions at once; then let runs finish,
        give back what does not, and publish what there is.
        """
        logger.info("stopping", extra={"action": "stopping"})
        consumer.allow(0)
        intake.stop()
        await self._within(asyncio.wait({self._part("intake")}), _LEAVE, "the intake has not finished its batch")
        await asyncio.gather(
            self._within(consumer.close(), _LEAVE, "leaving the consumer group takes too long"),
            executor.drain(0.0 if self._failure else self._settings.drain_seconds),
        )
        await self._within(control.close(), _LEAVE, "the control topic's reader does not end")
        for name in ("leases", "care"):
            self._part(name).cancel()
        outbox.stop()
        await self._within(asyncio.wait({self._part("outbox")}), _FLUSH, "the outbox is still waiting for its store")
        if not self._failed("outbox"):
            await self._within(outbox.flush(), _FLUSH, "results wait for the next start: Kafka does not take them now")
        for part in self._parts:
            part.cancel()
        await asyncio.wait(self._parts)

    def _failed(self, name: str) -> bool:
        part = self._part(name)
        return part.done() and not part.cancelled() and part.exception() is not None

    def _part(self, name: str) -> asyncio.Task[None]:
        return next(part for part in self._parts if part.get_name() == name)

    @staticmethod
    async def _within(work: Awaitable[Any], seconds: float, complaint: str) -> None:
        try:
            async with asyncio.timeout(seconds):
                await work
        except (TimeoutError, WorkerError) as error:
            logger.error("%s %s", complaint, error, extra={"action": "stopping"})


def _unexpected(error: BaseException) -> BaseException | None:
    """The error, if its traceback tells a person more than its message does."""
    return None if isinstance(error, WorkerError) else error
