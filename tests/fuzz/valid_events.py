"""Valid events of every shape that the contract knows: what the mutations start from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from tests.fuzz.hostile_values import SECRET
from workflow_events.identity import correlation_id

WINDOW = 300
"""Events whose numbers are this close share tasks, threads and questions, so that they meet each other in the store."""

MODEL = "llama3"
"""The model that events may choose."""

_NOW = "2026-06-01T12:00:00.000001Z"
_FIRST_DAY_MS = 1_767_225_600_000  # 2026
Headers = list[tuple[str, bytes | None]]


@dataclass
class Draft:
    """An event that is being made.

    :ivar fault: what the worker is to answer if nobody changes it; None: it runs.
    """

    body: dict[str, Any]
    headers: Headers = field(default_factory=list)
    key: bytes | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Place:
    """Where in the sequence an event is made.

    :ivar reply_topic: one that is allowed.
    :ivar aim: a request that a control message may name.
    """

    number: int
    rng: Random
    reply_topic: str
    aim: UUID | None = None

    @property
    def window(self) -> int:
        return self.number // WINDOW

    def uuid(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128), version=4)

    def interrupt(self) -> str:
        return interrupt_id(self.window, self.rng.randrange(4))


def interrupt_id(window: int, number: int) -> str:
    """The id of a question that a run of this window may ask."""
    return f"question-{window}-{number}"


def plain(place: Place) -> Draft:
    """Six fields, as people write them."""
    rng = place.rng
    body = {
        "event_type": "workflow.triggered",
        "source": rng.choice(("airflow", "fastapi", "langgraph")),
        "workflow_id": rng.choice(("example_dag", "données", "日報")),
        "workflow_run_id": f"manual__{place.number}",
        "payload": {"data": {"task": f"do {place.number} with {SECRET}"}},
        "metadata": {"environment": "dev", "version": "1.0"},
    }
    return Draft(body)


def with_id(place: Place) -> Draft:
    """As the provider writes it: with id, headers and a key."""
    draft = plain(place)
    of = place.uuid()
    draft.body |= {"event_id": str(of), "timestamp": _NOW}
    return _addressed(draft, of)


def by_header(place: Place) -> Draft:
    """Only a header says who waits."""
    draft = plain(place)
    return _addressed(draft, place.uuid())


def of_attempt(place: Place) -> Draft:
    """A try of a task that others of its window try, too."""
    rng, draft = place.rng, plain(place)
    task = hashlib.sha256(f"{place.window}-{rng.randrange(6)}".encode()).hexdigest()
    ti = UUID(int=((_FIRST_DAY_MS + place.number * 10) << 80) | (7 << 76) | (2 << 62) | rng.randrange(3))
    agent = rng.choice(("default", "default", "second"))
    draft.body["payload"]["data"]["task"] = rng.choice((SECRET, "other"))
    draft.body["attempt"] = {
        "task": task,
        "deployment": "here",
        "agent": agent,
        "id": str(ti),
        "try_number": rng.randrange(1, 5),
        "max_tries": rng.choice((3, 3, 3, 4)),
        "run_start": rng.choice(("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", None)),
        "returned": rng.random() < 0.1,
        "on_retry": rng.choice(("resume", "restart")),
        "on_clear": rng.choice(("resume", "restart")),
    }
    of = correlation_id(ti, agent)
    draft.body["event_id"] = str(of)
    draft = _addressed(draft, of)
    draft.key = task.encode()
    return draft


def replayed(place: Place) -> Draft:
    """A dead letter that somebody sent again."""
    draft, of = of_attempt(place), place.uuid()
    draft.body["attempt"]["replay"] = place.rng.randrange(1, 4)
    draft.body["event_id"] = str(of)
    return _addressed(draft, of)


def answering(place: Place) -> Draft:
    """Answers to questions, of which some were asked."""
    draft = place.rng.choice((with_id, of_attempt))(place)
    of = place.uuid()
    draft.body |= {
        "event_id": str(of),
        "event_type": "workflow.resumed",
        "round": place.rng.randrange(1, 4),
        "answers": [
            {"interrupt_id": place.interrupt(), "value": {"say": SECRET}, "answered_by": "ann"}
            for _ in range(place.rng.randrange(1, 3))
        ],
    }
    return _addressed(draft, of)


def configured(place: Place) -> Draft:
    """With settings that are allowed."""
    draft = with_id(place)
    draft.body["config"] = {
        "tags": ["nightly", "ü"],
        "recursion_limit": place.rng.choice((5, 25, 2**31 - 1)),
        "max_concurrency": place.rng.choice((None, 1, 2**31 - 1)),
        "interrupt_before": place.rng.choice(([], ["a"], "*")),
        "interrupt_after": [],
        "model": place.rng.choice((None, MODEL)),
        "configurable": {"user": SECRET, "depth": [1, {"a": None}]},
    }
    return draft


def in_a_context(place: Place) -> Draft:
    """With a context, or by an assistant."""
    draft = with_id(place)
    draft.body["context"] = place.rng.choice(({}, {"user_id": SECRET, "limits": {"depth": [1, None]}}, None))
    draft.body["assistant"] = place.rng.choice((None, "night"))
    return draft


def of_other_json(place: Place) -> Draft:
    """With an input that is no mapping, or a command."""
    draft = with_id(place)
    draft.body["payload"] = place.rng.choice(
        (
            *({"data": SECRET}, {"data": [{"role": "user", "content": SECRET}]}, {"data": 0}, {"data": []}),
            {"command": {"update": {"task": SECRET}, "goto": ["a", {"node": "b", "input": 1}]}},
        )
    )
    return draft


def budgeted(place: Place) -> Draft:
    """With a budget."""
    draft = with_id(place)
    draft.body["budget"] = {"tokens": 10_000, "cost_usd": 0.25, "steps": 10, "seconds": 60.5}
    return draft


def with_deadline(place: Place) -> Draft:
    """With a deadline: long past, or far away."""
    draft = with_id(place)
    draft.body["deadline"] = place.rng.choice(
        ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00+02:00", "2199-12-31T23:59:59.999999Z", "2099-01-01T00:00:00")
    )
    return draft


def replied_to(place: Place) -> Draft:
    """With a reply topic."""
    draft = with_id(place)
    allowed = place.rng.random() < 0.6
    draft.body["reply_topic"] = place.reply_topic if allowed else "somebody-elses-topic"
    draft.fault = None if allowed else "reply_topic_not_allowed"
    return draft


def of_another_model(place: Place) -> Draft:
    """With a model that is not allowed."""
    draft = with_id(place)
    draft.body["config"] = {"model": "gpt-oss:120b"}
    draft.fault = "model_not_allowed"
    return draft


def of_a_graph(place: Place) -> Draft:
    """With a graph, known or not, and perhaps a conversation's thread."""
    draft = with_id(place)
    draft.body["graph"] = place.rng.choice(("echo", "echo", "nobody-knows-it"))
    if place.rng.random() < 0.5:
        draft.body["thread_id"] = f"conversation {place.window}-{place.rng.randrange(2)}"
    return draft


def cancelling(place: Place) -> Draft:
    """A cancel, which belongs on the control topic."""
    of = place.aim or place.uuid()
    body = {"event_type": "workflow.cancelled", "correlation_id": str(of), "reason": "enough", "requested_by": "ann"}
    body["timestamp"] = _NOW
    return _addressed(Draft(body, fault="invalid_event"), of)


def superseding(place: Place) -> Draft:
    """A newer attempt's warning, which belongs on the control topic."""
    attempt = of_attempt(place).body["attempt"]
    return Draft({"event_type": "workflow.superseded", "attempt": attempt, "timestamp": _NOW}, fault="invalid_event")


def asking_again(place: Place) -> Draft:
    """A question for stored results, which belongs on the control topic."""
    ids = [str(place.aim or place.uuid()) for _ in range(place.rng.randrange(1, 20))]
    body = {"event_type": "workflow.query", "query_id": str(place.uuid()), "correlation_ids": ids}
    body["timestamp"] = _NOW
    return Draft(body, fault="invalid_event")


def ended(place: Place) -> Draft:
    """A worker's answer, with any of the ends that a run can have."""
    rng, of = place.rng, place.uuid()
    status = rng.choice(("success", "success", "success", "failure", "error", "interrupted", "cancelled", "timeout"))
    body: dict[str, Any] = {
        "correlation_id": str(of),
        "workflow_id": "dag",
        "workflow_run_id": "run",
        "status": status,
        "result": {"answer": SECRET, "figures": [1, 2.5, None, {"deep": [True]}]} if status == "success" else None,
        "error": None if status == "success" else "the graph said no",
        "error_type": None if status == "success" else "ValueError",
        "retriable": rng.choice((True, False, None)),
        "interrupts": [{"id": "1", "value": {"ask": "?"}}] if status == "interrupted" else [],
        "usage": {"llama3": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}},
        "thread_id": "t",
        "attempts": 1,
        "started_at": _NOW,
        "finished_at": _NOW,
        "worker_id": "w",
    }
    return _addressed(Draft(body), of, "workflow.result")


def reporting(place: Place) -> Draft:
    """A report of a run's progress."""
    rng, of = place.rng, place.uuid()
    kind = rng.choice(("accepted", "node_started", "node_finished", "node_finished", "custom", "custom", "token"))
    body: dict[str, Any] = {
        "event_type": "workflow.progress",
        "correlation_id": str(of),
        "workflow_id": "dag",
        "workflow_run_id": "run",
        "kind": kind,
        "node": rng.choice(("act", None)),
        "data": rng.choice(({"seconds": 0.5, "status": "FAILED", "error": "no"}, {"thread_id": "t"}, "half done", [1])),
        "timestamp": _NOW,
        "worker_id": rng.choice(("w", None)),
    }
    return _addressed(Draft(body), of)


Maker = Callable[[Place], Draft]

EVENTS: tuple[Maker, ...] = (
    *(plain, plain, with_id, with_id, by_header, of_attempt, of_attempt, of_attempt, replayed, answering, answering),
    *(in_a_context, of_other_json),
    *(configured, budgeted, with_deadline, replied_to, of_another_model, of_a_graph, of_a_graph),
    *(cancelling, superseding, asking_again),
)
CONTROL: tuple[Maker, ...] = (cancelling, cancelling, superseding, superseding, asking_again, with_id, of_attempt)
REPLIES: tuple[Maker, ...] = (ended, ended, ended, reporting)


def _addressed(draft: Draft, of: UUID, event_type: str | None = None) -> Draft:
    draft.headers = [
        ("correlation-id", str(of).encode()),
        ("event-type", str(event_type or draft.body["event_type"]).encode()),
        ("schema-version", b"1.0"),
    ]
    draft.key = str(of).encode()
    return draft
