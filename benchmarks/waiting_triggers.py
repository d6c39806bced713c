"""The triggers that :mod:`benchmarks.waiting` compares, made as Airflow makes them."""

from __future__ import annotations

import asyncio
import functools
import json
import os
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, UUID, uuid5

if TYPE_CHECKING:
    from airflow_provider_langgraph.requests.handle import RequestHandle


def request_id(seed: str, number: int) -> UUID:
    """The correlation id of the n-th request; both processes know it."""
    return uuid5(NAMESPACE_OID, f"{seed}-{number}")


@dataclass(frozen=True, slots=True)
class Task:
    """The task of the child.

    :param kind: the triggers: ``ours``; ``official``, each with a consumer group of its own; ``shared``, official
        ones on one connection, which names their group; ``idle``, with our arguments, but they wait for nothing;
        ``listener``, no triggers, only the futures of our listener; ``none``, a bare consumer that looks at keys.
    :param count: triggers that wait at once.
    :param warm: another topic, with the reply to request 0 of the seed ``warm``.
    :param progress: a topic that stays empty.
    :param client: librdkafka settings.
    :param start: the topic's end offsets before the first reply, by partition.
    :param rounds: how often so many triggers are started.
    :param seconds: how long they may take to be ready, and then to be served.
    :param poll_interval: the official trigger's, in seconds; 5 is its default.
    """

    kind: str
    count: int
    topic: str
    warm: str
    progress: str
    cluster: str
    client: dict[str, str]
    start: dict[str, int]
    seed: str
    rounds: int = 1
    seconds: float = 120.0
    poll_interval: float = 5.0

    def to_json(self) -> str:
        """The task as text for the child's command line."""
        return json.dumps(asdict(self))

    def connection(self, number: int) -> str:
        """The Airflow connection of the n-th trigger."""
        return f"bench_{number}" if self.kind == "official" else "bench"

    def connect(self, number: int) -> None:
        """Define this connection in Airflow."""
        name = self.connection(number)
        group = f"{self.topic}-{os.getpid()}-{name}"  # a new one begins with the first message
        extra = {**self.client, "group.id": group, "auto.offset.reset": "earliest"}
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps({"conn_type": "kafka", "extra": extra})


def ours(task: Task, number: int) -> Any:
    """The n-th trigger as Airflow makes it: its arguments come out of JSON and are not shared."""
    from airflow_provider_langgraph.triggers.result import WorkflowResultTrigger

    handle = request_handle(task, number)
    return WorkflowResultTrigger(
        handle=json.loads(json.dumps(handle.to_dict())), not_before=datetime.now(UTC).isoformat()
    )


def request_handle(task: Task, number: int) -> RequestHandle:
    """The handle of the n-th trigger's request."""
    from airflow_provider_langgraph.requests.handle import RequestHandle

    now = datetime.now(UTC)
    return RequestHandle(
        correlation_id=request_id(task.seed, number),
        workflow_id="bench",
        workflow_run_id="bench",
        kafka_config_id=task.connection(number),
        events_topic="unused",
        results_topic=task.topic,
        cluster=task.cluster,
        start_offsets={int(partition): offset for partition, offset in task.start.items()},
        deadline=now + timedelta(hours=1),
        control_topic=task.warm,
        progress_topic=task.progress,
        asked_at=now,
    )


def official(task: Task, number: int) -> Any:
    """The n-th trigger of the official provider."""
    from airflow.providers.apache.kafka.triggers.await_message import AwaitMessageTrigger

    return AwaitMessageTrigger(
        topics=[task.topic],
        apply_function="benchmarks.waiting_triggers.value_if_mine",
        apply_function_args=[str(request_id(task.seed, number))],
        kafka_config_id=task.connection(number),
        poll_interval=task.poll_interval,
    )


def idle(task: Task, number: int) -> Any:
    """A trigger with the arguments of ours that only awaits one future: the cost of any trigger."""
    return _idle_class()(**ours(task, number).serialize()[1])


@functools.cache
def _idle_class() -> Any:
    from airflow.triggers.base import BaseTrigger

    class Idle(BaseTrigger):
        def __init__(self, handle: dict[str, Any], not_before: str) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.handle = handle
            self.not_before = not_before

        def serialize(self) -> tuple[str, dict[str, Any]]:
            raise NotImplementedError

        async def run(self) -> AsyncIterator[Any]:
            yield await asyncio.get_running_loop().create_future()

    return Idle


def value_if_mine(correlation_id: str, message: Any) -> str | None:
    """The official trigger's filter."""
    return message.value().decode() if message.key() == correlation_id.encode() else None
