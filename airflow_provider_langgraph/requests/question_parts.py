"""What a person has to decide of a graph's questions, one part after another.

Three forms of a question are known: what LangChain's human-in-the-loop middleware asks, in both of its modes; a mapping
with ``question`` and ``options``, which is this project's own; and a breakpoint. Everything else is free text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from workflow_events.plain_text import one_line
from workflow_events.results import Interrupt

PartKind = Literal["action", "choice", "text", "stop"]

DECISIONS = ("approve", "edit", "reject", "respond")
"""Of LangChain's middleware, for the call of a tool."""

GO_ON = "continue"
"""The only answer to a breakpoint."""

_BREAKPOINT = "breakpoint-"
_MOST_OPTIONS = 20
_LONGEST_OPTION_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class QuestionPart:
    """One thing to decide: an action that needs approval, or a whole question.

    :param interrupt_id: of its question. The actions of one question have the same.
    :param kind: ``action``: a tool that the agent wants to call; ``choice``: one of some texts; ``text``: anything;
        ``stop``: a breakpoint.
    :param allowed: the decisions of an action, the texts of a choice.
    :param tool: the name of an action's tool.
    :param batched: an action whose question takes a list of decisions.
    """

    interrupt_id: str
    kind: PartKind
    allowed: tuple[str, ...] = ()
    tool: str = ""
    batched: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON: what is kept while the task waits."""
        return asdict(self) | {"allowed": list(self.allowed)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> QuestionPart:
        """Read :meth:`to_dict` back. Keys of a newer version are ignored."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        return cls(**known | {"allowed": tuple(known.get("allowed", ()))})


@dataclass(frozen=True, slots=True)
class PartText:
    """What a person has to read of one part: of a graph or a model, and not made harmless.

    :param value: the arguments of an action, else the question: JSON, or a text.
    :param about: what is said about an action. It is no part of the call, and may say of it what it wants.
    """

    value: Any
    about: str = ""


def parts_with_text(interrupts: Sequence[Interrupt]) -> list[tuple[QuestionPart, PartText]]:
    """All parts in their order, each with what a person has to read."""
    return [part for interrupt in interrupts for part in _parts(interrupt)]


def _parts(interrupt: Interrupt) -> list[tuple[QuestionPart, PartText]]:
    value, id_ = interrupt.value, interrupt.id
    if id_.startswith(_BREAKPOINT):
        return [(QuestionPart(id_, "stop", (GO_ON,)), PartText(value))]
    actions = _actions(value)
    if actions:
        return [(QuestionPart(id_, "action", allowed, one["name"], True), _call(one)) for one, allowed in actions]
    if isinstance(value, dict) and value.get("type") == "tool_approval" and _is_action(value):
        return [(QuestionPart(id_, "action", DECISIONS, str(value["name"])), _call(value))]
    options = _options(value)
    if options:
        return [(QuestionPart(id_, "choice", options), PartText(value))]
    return [(QuestionPart(id_, "text"), PartText(value))]


def _actions(value: Any) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
    """The actions that LangChain's middleware asks about, with the decisions that each allows; else empty."""
    if not isinstance(value, dict):
        return []
    requests, configs = value.get("action_requests"), value.get("review_configs")
    if not isinstance(requests, list) or not isinstance(configs, list):
        return []
    allowed = {
        one["action_name"]: tuple(name for name in DECISIONS if name in one["allowed_decisions"])
        for one in configs
        if isinstance(one, dict)
        and isinstance(one.get("action_name"), str)
        and isinstance(one.get("allowed_decisions"), list)
    }
    if not all(_is_action(one) and allowed.get(one["name"]) for one in requests):
        return []
    return [(one, allowed[one["name"]]) for one in requests]


def _is_action(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("args"), dict)


def _options(value: Any) -> tuple[str, ...]:
    """The texts that a question offers; empty if it offers none, or such as cannot be shown as they are."""
    if not isinstance(value, dict) or not isinstance(value.get("question"), str):
        return ()
    options = value.get("options")
    if not isinstance(options, list) or not 1 <= len(options) <= _MOST_OPTIONS:
        return ()
    is_plain = all(
        isinstance(one, str) and one == one_line(one).strip() and 0 < len(one) <= _LONGEST_OPTION_CHARACTERS
        for one in options
    )
    if not is_plain or len({one.casefold() for one in options}) < len(options):
        return ()
    return tuple(options)


def _call(action: Mapping[str, Any]) -> PartText:
    about = action.get("description")
    return PartText(action["args"], about.strip() if isinstance(about, str) else "")
