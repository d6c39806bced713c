"""What a request chooses for its run: its settings, its context, a command; and the names that no event sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic_core
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_serializer,
    model_validator,
)

from workflow_events.fields import Name, WireModel

MAX_CONFIGURABLE_BYTES = 65_536
"""Of ``configurable`` and of ``context``, as JSON. LangGraph stores their texts and numbers with every checkpoint."""

_RESERVED_CONFIGURABLE = re.compile(
    r"__|langgraph_|(thread_id|thread_ts|checkpoint_id|checkpoint_ns|checkpoint_map|run_id|assistant_id|graph_id"
    r"|counters_since_delta_snapshot)$"
)
_RESERVED_TAGS = re.compile(r"langsmith:|langgraph:|(graph|seq):step|nostream$")
"""LangGraph's own: one tag hides a node from its breakpoints and streams, one name says who is logged in. Names and
values are copied into the metadata of checkpoints: a counter that is none ends every later run of the thread."""


def _named_values(value: dict[str, Any]) -> dict[str, Any]:
    taken = sorted(name for name in value if _RESERVED_CONFIGURABLE.match(name))
    if taken:
        raise ValueError(
            f"{', '.join(taken)}: LangGraph's own, reserved for the worker. For a conversation, use the event's "
            "thread_id field; for everything else, another name"
        )
    size = len(pydantic_core.to_json(value))
    if size > MAX_CONFIGURABLE_BYTES:
        raise ValueError(
            f"{size:,} bytes, over the limit of {MAX_CONFIGURABLE_BYTES:,}; large values belong to payload.data"
        )
    return value


RunValues = Annotated[dict[Name, JsonValue], AfterValidator(_named_values)]
"""Values by name for a graph: none of LangGraph's own names, up to :data:`MAX_CONFIGURABLE_BYTES`."""


@dataclass(frozen=True)
class _OrSay:
    """For a value of several forms: pydantic would name the form that it tried first, whichever was meant."""

    text: str

    def __call__(self, value: Any, forms: ValidatorFunctionWrapHandler) -> Any:
        try:
            return forms(value)
        except ValidationError:
            raise ValueError(self.text) from None


Nodes = Annotated[
    Literal["*"] | Annotated[list[Name], Field(max_length=1_024)],
    WrapValidator(_OrSay("must be a list of up to 1,024 nodes' names, or * for all nodes")),
]
"""Names of nodes, or ``*`` for all of them."""

_NEW = frozenset(("max_concurrency", "interrupt_before", "interrupt_after", "keep_checkpoints"))
"""The newest settings: a reader of the version before refuses them, also where they are not set."""

Positive = Annotated[int, Field(ge=1, le=2_147_483_647)]
"""A count above zero that every database can store."""


class RunConfig(WireModel):
    """Settings of one run. They choose among what the worker allows, and may lower its limits, never raise them.

    :param tags: LangChain tags, for traces. Those that LangGraph obeys are refused.
    :param recursion_limit: at most so many supersteps; a lower limit of the worker or of the graph still holds.
    :param max_concurrency: at most so many nodes at once; a lower limit of the graph still holds.
    :param interrupt_before: nodes before which the run stops until a person lets it go on; the graph's own stops stay.
    :param interrupt_after: the same, behind a node.
    :param model: the chat model by name; must be on the worker's allow-list. The graph finds it as
        ``config["configurable"]["model"]``, and in its context if its schema has a ``model``.
    :param keep_checkpoints: at most so many checkpoints stay for looking back when the run ends; the limits of the
        worker and of the graph still hold.
    :param configurable: further values for ``config["configurable"]``, up to :data:`MAX_CONFIGURABLE_BYTES`. Names that
        LangGraph itself reads are refused here, those that move power (keys, endpoints) by the worker.
    """

    model_config = ConfigDict(extra="forbid")  # a misspelt setting must not be ignored

    tags: list[Name] = Field(default_factory=list, max_length=64)
    recursion_limit: Positive | None = None
    max_concurrency: Positive | None = None
    interrupt_before: Nodes = Field(default_factory=list)
    interrupt_after: Nodes = Field(default_factory=list)
    model: Name | None = None
    keep_checkpoints: int | None = Field(default=None, ge=1, le=1_000_000)
    configurable: RunValues = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_what_is_new(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A peer of the version before refuses a setting that it does not know, also one that is not set.
        body: dict[str, Any] = write(self)
        return {name: value for name, value in body.items() if value or name not in _NEW}

    @field_validator("tags")
    @classmethod
    def _no_reserved_tags(cls, value: list[str]) -> list[str]:
        taken = sorted(tag for tag in value if _RESERVED_TAGS.match(tag))
        if taken:
            raise ValueError(f"{', '.join(taken)}: LangGraph obeys this tag, so an event may not set it; leave it out")
        return value

    @field_validator("configurable")
    @classmethod
    def _no_model(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if "model" in value:
            raise ValueError("model: set config.model instead, which the worker checks against its allow-list")
        return value


class GraphSend(WireModel):
    """A node to go to with an input of its own, as LangGraph's ``Send``.

    :param node: the node's name.
    :param input: the node's input.
    """

    model_config = ConfigDict(extra="forbid")

    node: Name
    input: JsonValue = None


_Target = Name | GraphSend
Targets = Annotated[
    _Target | Annotated[list[_Target], Field(max_length=1_024)],
    WrapValidator(
        _OrSay('must be a node\'s name, {"node": a name, "input": any JSON}, or a list of up to 1,024 of these')
    ),
]
"""One or more nodes to go to."""


class GraphCommand(WireModel):
    """An input that changes a thread's state and chooses where it goes on, as LangGraph's ``Command``. It can skip
    nodes, so the graph's entry in ``langgraph.json`` must allow it to events.

    :param update: what is written to the state: values by key, or a list of pairs of a key and a value. All of it for
        a state that has no keys.
    :param goto: one or more nodes to go to.
    """

    model_config = ConfigDict(extra="forbid")

    update: JsonValue = None
    goto: Targets = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _no_resume(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "resume" in value:
            raise ValueError("resume: an answer to a question is an event of type workflow.resumed")
        return value

    @model_validator(mode="after")
    def _says_something(self) -> GraphCommand:
        if not self.update and not self.goto:
            raise ValueError("must have an update, or a goto")
        return self
