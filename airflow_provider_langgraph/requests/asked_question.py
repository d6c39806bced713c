"""A question that waits for a person: what its task keeps meanwhile, and the code that names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from airflow_provider_langgraph.requests.question_parts import QuestionPart
from workflow_events.results import WorkflowResultEvent

_LETTERS = "23456789abcdefghjkmnpqrs"
"""Those that nobody takes for one another."""


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """What an answer has to name, and how much time it has. It holds nothing of the question's text.

    :param answers_to: the correlation id of the result that asks.
    :param round: of the request that asks: 0 for a task's first.
    :param code: see :func:`question_code`.
    :param parts: what there is to decide.
    :param left: the time that the agent has for going on: what its deadline had left when it asked.
    :param until: when the question is given up, UTC.
    :param users: the ids of those who may answer, if Airflow's form names others; empty: Airflow checks it.
    """

    answers_to: UUID
    round: int
    code: str
    parts: tuple[QuestionPart, ...]
    left: timedelta
    until: datetime
    users: tuple[str, ...] = field(default=())

    def only_for(self, users: Sequence[str]) -> AskedQuestion:
        """The same, for these users only."""
        return replace(self, users=tuple(users))

    def to_dict(self) -> dict[str, Any]:
        """As JSON: what Airflow keeps, unencrypted, while the task waits."""
        return {
            "answers_to": str(self.answers_to),
            "round": self.round,
            "code": self.code,
            "parts": [part.to_dict() for part in self.parts],
            "left": self.left.total_seconds(),
            "until": self.until.isoformat(),
            "users": list(self.users),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AskedQuestion:
        """Read :meth:`to_dict` back."""
        return cls(
            answers_to=UUID(data["answers_to"]),
            round=int(data["round"]),
            code=str(data["code"]),
            parts=tuple(QuestionPart.from_dict(part) for part in data["parts"]),
            left=timedelta(seconds=float(data["left"])),
            until=datetime.fromisoformat(data["until"]),
            users=tuple(data.get("users", ())),
        )


def question_code(result: WorkflowResultEvent, answers_before: int) -> str:
    """A short name of what a result asks: ten letters and digits, in two groups.

    It is the same for the same question in a later try of the task. Another question has another code, and so has one
    with the same words behind a further answer.

    :param answers_before: how many answers the task has given before.
    """
    asked = [[one.id, one.value] for one in result.interrupts]
    text = json.dumps([result.thread_id, answers_before, asked], sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    letters = ""
    for _ in range(10):
        number, place = divmod(number, len(_LETTERS))
        letters += _LETTERS[place]
    return f"{letters[:5]}-{letters[5:]}"
