"""A thread's stored state that its graph does not take any more, told apart from an input that it does not take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from langgraph_worker.domain import faults
from langgraph_worker.domain.json_values import describe
from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.execution.step_recorder import StepRecorder
from langgraph_worker.execution.thread_position import ThreadPosition, ThreadState

_MAX_FIELDS = 10  # named in an error's text


@dataclass(frozen=True, slots=True)
class StoredState:
    """The state with which a run goes on.

    :param values: of the thread's latest checkpoint, by field; empty: the thread is new.
    :param given: the input that comes to it, by field; empty: the run goes on without one.
    """

    claim: Claim
    values: Mapping[str, Any]
    given: Mapping[str, Any]

    @classmethod
    def from_position(cls, claim: Claim, position: ThreadPosition) -> StoredState:
        """The state of the thread at which a run is about to start."""
        values, data = position.snapshot.values, claim.event.payload.data
        is_turn = position.state is ThreadState.NEW
        return cls(claim, _by_field(values), _by_field(data) if is_turn else {})

    @contextlib.contextmanager
    def explaining(self, steps: StepRecorder, *, exception_texts: bool) -> Iterator[None]:
        """Let a state that is refused before any node has run say so, if it is the stored one.

        :raises RunFaultError: ``stored_state_invalid``: names the thread, the fields and the way to go on.
        """
        try:
            yield
        except ValidationError as error:
            if steps.started or not self.values:
                raise
            found = [detail["loc"] for detail in error.errors(include_url=False, include_input=False)]
            if not all(map(self._is_stored, found)):
                raise
            raise _refused(self.claim, error, exception_texts=exception_texts) from error

    def _is_stored(self, loc: Sequence[int | str]) -> bool:
        """Whether what is wrong lies in the stored state: the input has no such field, or its items come behind."""
        if not loc or loc[0] not in self.given:
            return bool(loc) and (loc[0] in self.values or not self.given)
        stored = self.values.get(str(loc[0]))
        return isinstance(stored, list) and len(loc) > 1 and isinstance(loc[1], int) and loc[1] < len(stored)


@contextlib.contextmanager
def reading_stored_state(claim: Claim, *, exception_texts: bool) -> Iterator[None]:
    """Inside, nothing but the stored state is validated: LangGraph does that for the nodes that would run next.

    :raises RunFaultError: as :meth:`StoredState.explaining`.
    """
    try:
        yield
    except ValidationError as error:
        raise _refused(claim, error, exception_texts=exception_texts) from error


def _refused(claim: Claim, error: ValidationError, *, exception_texts: bool) -> RunFaultError:
    details = error.errors(include_url=False, include_input=False)
    names = list(dict.fromkeys(str(detail["loc"][0]) for detail in details if detail["loc"]))[:_MAX_FIELDS]
    problem = describe(error) if exception_texts else type(error).__name__
    if claim.thread_name is None:
        thread, way = claim.thread_id, "clear the task with on_clear='restart', which starts over on a new thread"
    else:
        thread = f"{claim.thread_name!r} ({claim.thread_id})"
        way = "let the next request name another thread_id, which begins a new conversation"
    return RunFaultError(
        faults.STORED_STATE_INVALID,
        f"the graph does not take the stored state of its thread any more: field {', '.join(map(repr, names))} of "
        f"thread {thread}: {problem}. Another version of the graph has written it. Deploy a graph whose state takes "
        f"the stored value (a default for a new field, a validator for an old form), or {way}",
    )


def _by_field(state: Any) -> Mapping[str, Any]:
    return state if isinstance(state, Mapping) else {}
