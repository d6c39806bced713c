"""What a worker is made of, wired together. Each component is built from those built before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from langgraph_worker import __version__
from langgraph_worker.broker.kafka.admin import Cluster
from langgraph_worker.broker.kafka.client_configs import consumer_config, control_config
from langgraph_worker.broker.kafka.control import ControlReader
from langgraph_worker.broker.kafka.events import EventConsumer
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.control.control_messages import ControlMessages
from langgraph_worker.control.pause import PauseWatch
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.execution.executor import Executor
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.announced import announcement_of
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.intake.backlog_limits import BacklogLimits
from langgraph_worker.intake.batch_queue import BatchQueue
from langgraph_worker.intake.events_topic import EventsTopic
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.intake.intake import Intake, IntakeOutputs
from langgraph_worker.intake.screening import ScreeningRules, may_be_answer
from langgraph_worker.intake.seen_deployments import SeenDeployments
from langgraph_worker.publishing.announcer import AnnouncedWorker, Announcer
from langgraph_worker.publishing.dead_letters import DeadLetters
from langgraph_worker.publishing.outbox import Outbox
from langgraph_worker.publishing.republish_pace import RepublishPace
from langgraph_worker.runtime.housekeeping import Housekeeping
from langgraph_worker.runtime.run_parts import RunParts, Surroundings, make_executor
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.telemetry.progress import Progress
from langgraph_worker.telemetry.traces.port import NoTracing, Tracing
from workflow_events.announcements import GraphAnnouncement
from workflow_events.codec import Record


@dataclass(frozen=True, slots=True)
class Foundation:
    """What a worker has opened, and closes at its end.

    :param runs: what runs need.
    :param events_topic: tells the events topic from another one of its name.
    :param tracing: makes the runs' traces.
    """

    cluster: Cluster
    runs: RunParts
    producer: AckProducer
    progress: Progress
    events_topic: EventsTopic
    tracing: Tracing = field(default_factory=NoTracing)


@dataclass(frozen=True, slots=True)
class Components:
    """The components that a worker starts and stops; none is started yet.

    :param announcer: None where the graphs topic is missing.
    """

    consumer: EventConsumer
    control: ControlReader
    free_room: FreeRoom
    intake: Intake
    executor: Executor
    outbox: Outbox
    housekeeping: Housekeeping
    pauses: PauseWatch
    announcer: Announcer | None


def assemble(settings: WorkerSettings, graphs: Graphs, nodes: NodeThreads, foundation: Foundation) -> Components:
    """Wire a worker. Call it in the event loop."""
    store, cluster = foundation.runs.store, foundation.cluster
    producer, metrics, dead_topic = (
        foundation.producer,
        foundation.runs.metrics,
        settings.kafka_workflow_dead_letters_topic,
    )
    dead_letters = DeadLetters(producer, dead_topic, settings.worker_id, metrics, graphs.redactor)
    pace = RepublishPace(settings.republish_bytes_per_second)
    outbox = Outbox(store, producer, dead_letters, pace, metrics=metrics)
    batches = BatchQueue()
    events_topic = settings.kafka_workflow_events_topic
    config = consumer_config(settings)
    seen = SeenDeployments()
    consumer = EventConsumer(config, events_topic, cluster.cluster_id, batches.offer, _is_urgent(seen))
    limits = BacklogLimits(store, settings, graphs.names, seen)
    free_room = FreeRoom(consumer, store, settings.concurrency, settings.prefetch, limits)
    around = Surroundings(foundation.progress, free_room, outbox.wake, foundation.tracing)
    executor = make_executor(settings, graphs, nodes, foundation.runs, around)

    pauses = PauseWatch(store, executor.set_pauses, settings.renew_seconds)

    def wake() -> None:
        executor.wake()
        outbox.wake()  # a refusal or a repeat is answered without a run

    outputs = IntakeOutputs(dead_letters, store, consumer.commit, free_room, wake, metrics)
    rules = ScreeningRules.from_settings(settings, graphs.names)
    info = _info(settings, graphs)
    return Components(
        consumer,
        _control(settings, foundation, outbox, pauses),
        free_room,
        Intake(batches, rules, outputs, foundation.progress, foundation.events_topic, lambda: pauses.known),
        executor,
        outbox,
        Housekeeping(
            store,
            foundation.runs.memories,
            outbox,
            free_room,
            info,
            settings.unknown_graph_grace_seconds,
            turns=foundation.runs.turns,
        ),
        pauses,
        _announcer(settings, graphs, foundation, info, rules.default_graph),
    )


def _is_urgent(seen: SeenDeployments) -> Callable[[Record], bool]:
    """What is read ahead while there is no room: answers; and it shows whether others stand behind a full graph."""

    def is_urgent(record: Record) -> bool:
        seen.look_at(record)
        return may_be_answer(record)

    return is_urgent


def _control(settings: WorkerSettings, foundation: Foundation, outbox: Outbox, pauses: PauseWatch) -> ControlReader:
    def look_again() -> None:
        pauses.hurry()
        outbox.wake()
        foundation.runs.keeper.hurry()

    cluster = foundation.cluster
    return ControlReader(
        control_config(settings),
        settings.kafka_workflow_control_topic,
        cluster.cluster_id,
        cluster.retention,
        ControlMessages(foundation.runs.store, cluster.retention, look_again).take,
    )


def _announcer(
    settings: WorkerSettings, graphs: Graphs, foundation: Foundation, info: WorkerInfo, default_graph: str | None
) -> Announcer | None:
    topic = settings.kafka_workflow_graphs_topic
    if topic not in foundation.cluster.topics:  # the start has warned of it
        return None
    worker = AnnouncedWorker(
        info,
        topic,
        default_graph,
        graphs.release,
        settings.unknown_graph_grace_seconds,
        settings.max_message_bytes,
    )

    def describe() -> list[GraphAnnouncement]:
        return [announcement_of(graph, graphs.redactor) for graph in graphs]

    return Announcer(foundation.producer, foundation.runs.store, worker, describe)


def _info(settings: WorkerSettings, graphs: Graphs) -> WorkerInfo:
    return WorkerInfo(
        settings.worker_id,
        __version__,
        settings.kafka_workflow_events_topic,
        settings.kafka_consumer_group_id,
        {graph.spec.name: graph.spec.description for graph in graphs},
    )
