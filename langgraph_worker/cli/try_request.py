"""The event of ``langgraph-worker try``: an input, or answers to what a conversation asks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from langgraph_worker.cli.json_arguments import read_answer, read_json, read_object
from langgraph_worker.errors import SettingsError, WorkerError
from workflow_events.models import EventSource, EventType
from workflow_events.results import Interrupt

WORKFLOW = "try"
"""The workflow of all its events; a conversation is one run of it."""


@dataclass(frozen=True, slots=True)
class TryRequest:
    """What the command line asks.

    :param thread: the conversation's name.
    :param answers: what ``--answer`` gave, each with the id that it names or None; empty: an input is given.
    :param fields: of the event.
    """

    thread: str
    answers: tuple[tuple[str | None, Any], ...]
    fields: dict[str, Any]

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace) -> TryRequest:
        """Read the command line.

        :raises SettingsError: names the flag that is wrong.
        """
        given = arguments.answer or []
        if given and arguments.input is not None:
            raise SettingsError("--answer, --input: give one of the two. An answer goes on with what was begun")
        if given and arguments.thread is None:
            raise SettingsError("--answer: needs --thread, the conversation that asked")
        fields: dict[str, Any] = {}
        if not given:
            fields["payload"] = {"data": {} if arguments.input is None else read_json("--input", arguments.input)}
        for name in ("context", "config"):
            value = read_object(f"--{name}", getattr(arguments, name))
            if value is not None:
                fields[name] = value
        answers = tuple(read_answer(text) for text in given)
        return cls(arguments.thread or str(uuid4()), answers, {"graph": arguments.graph, **fields})

    def event(self, asked: Sequence[Interrupt]) -> dict[str, Any]:
        """The event, as JSON.

        :param asked: what the conversation asks now.
        :raises WorkerError: an answer answers nothing of it.
        """
        event: dict[str, Any] = {
            "event_id": str(uuid4()),
            "event_type": EventType.WORKFLOW_TRIGGERED.value,
            "source": EventSource.LANGGRAPH.value,
            "workflow_id": WORKFLOW,
            "workflow_run_id": self.thread,
            "thread_id": self.thread,
            **self.fields,
        }
        if self.answers:
            event |= {"event_type": EventType.WORKFLOW_RESUMED.value, "round": 1, "answers": self._answers(asked)}
        return event

    def _answers(self, asked: Sequence[Interrupt]) -> list[dict[str, Any]]:
        if not asked:
            raise WorkerError(f"--answer: conversation {self.thread!r} asks nothing. Give it an --input")
        known = ", ".join(question.id for question in asked)
        found = []
        for name, value in self.answers:
            if name is None and len(asked) > 1:
                raise WorkerError(f"--answer: there are {len(asked)} questions. Say which: --answer ID=JSON ({known})")
            if name is not None and name not in {question.id for question in asked}:
                raise WorkerError(f"--answer: conversation {self.thread!r} does not ask {name!r}, but {known}")
            found.append({"interrupt_id": name or asked[0].id, "value": value})
        return found
