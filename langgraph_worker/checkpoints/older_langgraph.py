"""What LangGraph has mended since the oldest version that the worker takes, mended for the older ones too.

Imported with an older one only. Each piece names the version from which on it does nothing. So a project that needs an
older LangGraph keeps the worker's rules; ``docs/reference/langgraph-versions.md`` lists what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langgraph._internal._constants import CONFIG_KEY_REPLAY_STATE, CONFIG_KEY_SCRATCHPAD, RESUME
from langgraph.config import get_config
from langgraph.pregel import _algo
from langgraph.pregel._executor import AsyncBackgroundExecutor, BackgroundExecutor
from langgraph.pregel._loop import PregelLoop
from langgraph.pregel._runner import SKIP_RERAISE_SET  # type: ignore[attr-defined]  # from where it stood before
from langgraph.types import Interrupt
from packaging.version import Version
from xxhash import xxh3_128_hexdigest

_REPLAYS_ONLY_WHAT_IS_ADDRESSED = Version("1.2.16")
_LETS_HANDLERS_ANSWER = Version("1.2.18")
_NAMES_EACH_QUESTION = Version("1.2.20")
_SEPARATOR = "|"


def mend(found: Version) -> None:
    """Change the LangGraph of this process, which is the version that was found. Calling twice is harmless."""
    if found < _REPLAYS_ONLY_WHAT_IS_ADDRESSED:
        PregelLoop.is_replaying = property(_is_replaying, _set_replaying)  # type: ignore[assignment]
    if found < _LETS_HANDLERS_ANSWER and not hasattr(BackgroundExecutor, _MENDED):
        _let_handlers_answer()
    if found < _NAMES_EACH_QUESTION and not isinstance(_algo._scratchpad, _Scratchpads):
        _name_each_question()


# ---- Finished nodes of a child graph ----
# The config of every node has the key ``checkpoint_id``, and LangGraph took each graph inside of a node for one that is
# to be replayed from a checkpoint. When such a graph was resumed, its finished nodes ran again.


def _is_replaying(loop: PregelLoop) -> bool:
    is_replaying: bool = loop.__dict__["is_replaying"]
    return is_replaying


def _set_replaying(loop: PregelLoop, is_replaying: bool) -> None:
    loop.__dict__["is_replaying"] = is_replaying and _is_addressed(loop.config["configurable"])


def _is_addressed(configurable: Mapping[str, Any]) -> bool:
    """Whether a graph is called with the id of a checkpoint, or inside of one that is."""
    in_map = configurable.get("checkpoint_ns") in configurable.get("checkpoint_map", {})
    return bool(configurable.get("checkpoint_id") or configurable.get(CONFIG_KEY_REPLAY_STATE) or in_map)


# ---- Error handlers ----
# When a graph ended whose node's error handler had taken an exception over, the executor raised that exception all the
# same, if nothing else had looked at it before: so in a graph whose subgraphs are streamed, as a worker does it.

_MENDED = "langgraph_worker_mended"


def _let_handlers_answer() -> None:
    leave, leave_async = BackgroundExecutor.__exit__, AsyncBackgroundExecutor.__aexit__

    def exit_(executor: BackgroundExecutor, *raised: Any) -> Any:
        _forget_what_is_handled(executor.tasks)
        return leave(executor, *raised)

    async def aexit(executor: AsyncBackgroundExecutor, *raised: Any) -> Any:
        _forget_what_is_handled(executor.tasks)
        return await leave_async(executor, *raised)

    BackgroundExecutor.__exit__ = exit_  # type: ignore[method-assign]
    AsyncBackgroundExecutor.__aexit__ = aexit  # type: ignore[method-assign, assignment]
    setattr(BackgroundExecutor, _MENDED, True)


def _forget_what_is_handled(tasks: dict[Any, tuple[bool, bool]]) -> None:
    for task, (cancels, _) in tasks.items():
        if task in SKIP_RERAISE_SET:
            tasks[task] = (cancels, False)


# ---- Questions of one node ----
# All had one id, so an answer that came late to the first was taken for the second's.


class _Hash(str):
    """A hash that knows its text.

    :ivar text: what it was made of.
    """

    __slots__ = ("text",)
    text: str


def _hash(data: bytes) -> _Hash:
    made = _Hash(xxh3_128_hexdigest(data))
    made.text = data.decode(errors="replace")  # LangGraph also hashes ids, which are no text
    return made


def _question_id(namespace: str, answered: int) -> str:
    """As LangGraph makes it since it names each question. An upgrade finds the open ones.

    :param answered: how many answers the task has.
    """
    text = f"{namespace}{_SEPARATOR}{answered}" if answered else namespace
    return xxh3_128_hexdigest(text.encode())


class _Scratchpads:
    """Stands for LangGraph's function that gives a task its answers: finds the one to its next question."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(
        self, parent: Any, writes: list[Any], task_id: str, namespace: _Hash, answers: Any, *others: Any
    ) -> Any:
        if answers:
            given: Any = next((value for task, channel, value in writes if (task, channel) == (task_id, RESUME)), [])
            next_id = _question_id(namespace.text, len(given) if isinstance(given, list) else 1)
            if next_id in answers:
                answers = {**answers, namespace: answers[next_id]}
        return self._make(parent, writes, task_id, namespace, answers, *others)


def _name_each_question() -> None:
    _algo._scratchpad = _Scratchpads(_algo._scratchpad)  # type: ignore[assignment]
    _algo.xxh3_128_hexdigest = _hash  # type: ignore[assignment, attr-defined]
    Interrupt.from_ns = classmethod(_named(Interrupt.from_ns))  # type: ignore[method-assign, assignment]


def _named(make: Callable[..., Any]) -> Callable[..., Any]:
    def from_ns(_: type[Any], value: Any, ns: str, **others: Any) -> Any:
        made = make(value=value, ns=ns, **others)
        made.id = _question_id(ns, len(get_config()["configurable"][CONFIG_KEY_SCRATCHPAD].resume))
        return made

    return from_ns
