"""Compares what graphs did under kills with what LangGraph alone does: results, questions, answers, and every node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.random_graphs.answering import answer_to
from tests.random_graphs.case import Case
from tests.random_graphs.circumstances import TAKEN_BY_NONE
from tests.random_graphs.endings import ends_rightly_without_success
from tests.random_graphs.ledger import Entry
from workflow_events.results import ResultStatus


def faults(case: Case, entries: Sequence[Entry]) -> list[str]:
    """What is wrong with a case that is over; empty if nothing is.

    :param entries: of its world, in order.
    """
    mine = [entry for entry in entries if entry.case in (case.name, "")]
    always = [*_once(case, mine), *_answers(mine), *_keys(mine)]
    if ends_rightly_without_success(case):
        return always
    return [*_outcome(case), *_nodes(case, mine), *always]


def _outcome(case: Case) -> Iterator[str]:
    assert case.result is not None
    result, expected = case.result, case.expected
    if result.status is not ResultStatus.SUCCESS:
        yield f"it ends with {result.status.value}: {result.error_type}: {result.error}"
    elif case.circumstances.is_refused or expected.error or TAKEN_BY_NONE in str(result.result):
        yield f"it ends with success, and must not: {expected.error or TAKEN_BY_NONE}"
    elif result.result != expected.result:
        yield f"its result is\n    {result.result}\n  and alone it is\n    {expected.result}"
    if case.turns != expected.turns:
        yield f"it asks {case.turns}, and alone {expected.turns}"


def _nodes(case: Case, entries: Sequence[Entry]) -> Iterator[str]:
    """Every node has run, and no other."""
    ended = {entry.key for entry in entries if entry.kind == "end"}
    alone = {entry.key for entry in case.expected.entries if entry.kind == "end"}
    if alone - ended:
        yield f"skipped: {sorted(alone - ended)}"
    if ended - alone:
        yield f"not part of the run: {sorted(ended - alone)}"


def _once(case: Case, entries: Sequence[Entry]) -> Iterator[str]:
    """What is durable does not run again; what was under way at a loss runs at most so often as alone, once more.

    Without what goes on in a worker that stood still, until it looks at its leases: that is done by others.
    """
    durable: set[str] = set()
    lost: Counter[str] = Counter()
    starts: Counter[str] = Counter()
    open_: Counter[tuple[str, int]] = Counter()
    under_way: dict[str, tuple[str, ...]] = {}
    for entry in _awake(entries):
        here = (entry.own, entry.life)
        match entry.kind:
            case "durable":
                durable.update(entry.ids)
            case "loss":
                lost.update({key for key, ids in under_way.items() if not durable.intersection(ids)})
                under_way = {}
            case "start":
                starts[entry.key] += 1
                under_way[entry.key] = entry.ids
                open_[here] += 1
                if entry.own in durable:
                    yield f"{entry.key} was durable, and runs again in life {entry.life}"
                if open_[here] > 1:
                    yield f"{entry.key} runs beside itself in life {entry.life}"
            case "end" | "left":
                open_[here] -= 1
    alone = case.expected.starts
    for key, count in starts.items():
        # Alone, a node that fails may have kept this one from its start.
        if count > (1 + lost[key]) * max(alone[key], bool(case.expected.error)):
            yield f"{key} runs {count} times, alone {alone[key]}; it was under way at {lost[key]} losses"


def _awake(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Without what a worker has noted since it stood still."""
    woken: set[int] = set()
    for entry in entries:
        if entry.kind == "woke":
            woken.add(entry.life)
        elif entry.life not in woken or not entry.case:
            yield entry


def _answers(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.kind == "heard" and entry.text != answer_to(entry.key):
            yield f"the question {entry.key!r} hears the answer {entry.text!r}"


def _keys(entries: Sequence[Entry]) -> Iterator[str]:
    """An execution has one idempotency key, in every life."""
    by_id: dict[str, str] = {}
    for entry in entries:
        if entry.kind == "start" and by_id.setdefault(entry.own, entry.text) != entry.text:
            yield f"{entry.key} runs again with another idempotency key"
