"""Names that both sides compute in the same way: correlation ids, tasks, lineages, logical runs, threads.

Every name is derived, none is random: a repeated request has the same names.
"""

from __future__ import annotations

import hashlib
import json
from uuid import UUID, uuid5

from pydantic import JsonValue

from workflow_events.models import EventType, WorkflowEvent

NAMESPACE = UUID("6e1dc6e4-6d5f-5a0f-9a6e-1c2f4f1b7a10")
"""The namespace of every uuid5 of this contract. A change would orphan every request under way."""


def _joined(*parts: object) -> str:
    # JSON quotes each part, so ("a", "b:c") and ("a:b", "c") differ.
    return json.dumps([str(part) for part in parts], separators=(",", ":"))


def correlation_id(ti_id: UUID | str, agent: str = "default", round: int = 0) -> UUID:  # noqa: A002
    """The id of one request: the same for every publish of one attempt, new on retry and clear."""
    return uuid5(NAMESPACE, _joined("request", UUID(str(ti_id)), agent, round))


def replay_id(of: UUID, number: int) -> UUID:
    """The correlation id of the n-th replay of a dead letter: all who replay it for the n-th time send one request.

    :param of: the correlation id of the request that was dead-lettered first.
    """
    return uuid5(NAMESPACE, _joined("replay", of, number))


def record_id(cluster: str, topic: str, partition: int, offset: int, topic_id: str = "") -> UUID:
    """The id of a plain event without ``event_id``: its place in Kafka.

    :param topic_id: which topic of that name it is: one that is created anew has the same places. Empty for the first
        that a run store has met, whose events have the ids of versions that did not look at it.
    """
    place = ("record", cluster, topic, partition, offset)
    return uuid5(NAMESPACE, _joined(*place, topic_id) if topic_id else _joined(*place))


def task_key(
    deployment: str, dag_id: str, run_id: str, task_id: str, map_index: int = -1, loop_index: int | None = None
) -> str:
    """One Airflow task instance over all its attempts: 64 hex digits.

    :param loop_index: which iteration of a task loop it is (Airflow 3.4); None outside of loops.
    """
    loop = () if loop_index is None else ("loop", loop_index)
    return hashlib.sha256(_joined(deployment, dag_id, run_id, task_id, map_index, *loop).encode()).hexdigest()


def lineage_key(task: str, agent: str) -> str:
    """One agent of one task over all attempts, which a retry can resume: 64 hex digits."""
    return hashlib.sha256(_joined("lineage", task, agent).encode()).hexdigest()


def plain_lineage_key(event_id: UUID) -> str:
    """The lineage of a request without ``attempt``, and of the replays of its dead letter: its own."""
    return hashlib.sha256(_joined("plain", event_id).encode()).hexdigest()


def lineage_of(event: WorkflowEvent) -> str:
    """The key of the lineage that a request belongs to."""
    if event.attempt is not None:
        return lineage_key(event.attempt.task, event.attempt.agent)
    return plain_lineage_key(event.replay.of if event.replay is not None else event.event_id)


def logical_run_id(lineage: str, first_request: UUID, restarted_as: int | None = None) -> UUID:
    """The id that LangGraph gets as ``metadata.run_id``: the same over retries, new on every fresh start.

    :param first_request: the correlation id of the request that started it afresh. A count of the starts would begin
        again once they are pruned, and so name a logical run twice.
    :param restarted_as: the generation that begins where the same request starts over.
    """
    restart = () if restarted_as is None else (restarted_as,)
    return uuid5(NAMESPACE, _joined("logical-run", lineage, first_request, *restart))


def thread_name(graph: str, logical_run: UUID, shared: str | None = None, deployment: str = "") -> str:
    """What :func:`thread_id` is computed from: the logical run's own thread, or the author's conversation within its
    deployment and graph. It was the thread's id before that was a UUID.

    Two graphs never share a thread, nor do two Airflow installations: a name in a message grants no access.
    """
    if shared is None:
        return f"run:{graph}:{logical_run}"
    # Hashed, because databases index the name and an author's may be long.
    return f"shared:{graph}:{hashlib.sha256(_joined(deployment, shared).encode()).hexdigest()}"


def thread_id(graph: str, logical_run: UUID, shared: str | None = None, deployment: str = "") -> str:
    """LangGraph's ``thread_id``: a UUID, as LangGraph's own server has it, since graphs put it into paths and keys.

    :param shared: the author's name of a conversation; None for a thread of the logical run's own.
    """
    return str(uuid5(NAMESPACE, thread_name(graph, logical_run, shared, deployment)))


def input_hash(data: JsonValue, kind: str = "") -> str:
    """SHA-256 of a value in canonical JSON: by it a retry with other input is found.

    :param kind: tells values apart that are written alike, such as answers and an input.
    """
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256((kind + text).encode("utf-8", "surrogatepass")).hexdigest()


def work_hash(event: WorkflowEvent) -> str:
    """The hash of what a request gives its graph: an input, a command, answers or a fork. No two of them are alike."""
    if event.event_type is EventType.WORKFLOW_RESUMED:
        answers = sorted(event.answers, key=lambda answer: answer.interrupt_id)
        given: list[JsonValue] = [[answer.interrupt_id, answer.value] for answer in answers]
        # An answer to another run is other work; no interrupt has an empty id.
        return input_hash([*given, ["", str(event.answers_to)]] if event.answers_to else given)
    if event.payload.command is not None:
        return input_hash(event.payload.command.model_dump(mode="json"), "command")
    data = event.payload.data
    if event.fork is not None:
        return input_hash([event.fork.model_dump(mode="json"), data], "fork")
    # A list has a mark because answers, which came first, have none: their hashes are in run stores.
    return input_hash(data, "input" if isinstance(data, list) else "")
