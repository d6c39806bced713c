"""What holds of every verdict, whatever arrives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from langgraph_worker.domain.attempts import AttemptKey, IncomingRequest, Lineage, WorkKey, decide, is_newer
from langgraph_worker.domain.models import Decision, RunStatus

START = datetime(2026, 3, 1, tzinfo=UTC)

small = st.integers(0, 4)


def _seen(time: int, salt: int, try_number: int, max_tries: int, hours: int | None, replay: int) -> AttemptKey:
    # An id belongs to one attempt: equal ids mean equal tries, but for replays.
    number = ((salt * 8 + try_number) * 8 + max_tries) * 8 + (0 if hours is None else hours + 1)
    run_start = None if hours is None else START + timedelta(hours=hours)
    return AttemptKey(UUID(int=(time << 80) | (7 << 76) | (2 << 62) | number), try_number, max_tries, run_start, replay)


seens = st.builds(
    _seen,
    st.integers(0, 6),
    st.integers(0, 3),
    small,
    small,
    st.one_of(st.none(), st.integers(0, 2)),
    st.integers(0, 2),
)
works = st.builds(
    WorkKey, graph=st.sampled_from("gh"), shared_thread=st.sampled_from([None, "t"]), input_hash=st.sampled_from("12")
)
asks = st.builds(
    IncomingRequest,
    work=works,
    attempt=seens,
    returned=st.booleans(),
    on_retry=st.sampled_from(["resume", "restart"]),
    on_clear=st.sampled_from(["restart", "resume"]),
)
histories = st.builds(
    Lineage,
    generation=st.integers(1, 5),
    work=works,
    attempt=seens,
    status=st.sampled_from(list(RunStatus)),
    is_asking=st.booleans(),
)


@given(seens, seens)
def test_of_two_attempts_exactly_one_is_newer(one: AttemptKey, other: AttemptKey) -> None:
    assert is_newer(one, other) + is_newer(other, one) == (one.id != other.id)


@given(st.lists(seens, min_size=3, max_size=3), st.sampled_from([None, START]))
def test_within_one_dag_run_the_order_has_no_circle(attempts: list[AttemptKey], run_start: datetime | None) -> None:
    a, b, c = (replace(one, run_start=run_start) for one in attempts)
    if is_newer(a, b) and is_newer(b, c):
        assert is_newer(a, c)


@given(asks, st.one_of(st.none(), seens), st.one_of(st.none(), histories))
def test_a_verdict_depends_on_nothing_but_its_arguments(
    asked: IncomingRequest, newest: AttemptKey | None, lineage: Lineage | None
) -> None:
    assert decide(asked, newest, lineage) == decide(asked, newest, lineage)


@given(asks, st.one_of(st.none(), seens), st.one_of(st.none(), histories))
def test_only_the_older_is_late_and_only_the_newer_supersedes(
    asked: IncomingRequest, newest: AttemptKey | None, lineage: Lineage | None
) -> None:
    verdict = decide(asked, newest, lineage)
    assert asked.attempt is not None
    attempt, last = asked.attempt, lineage.attempt if lineage else None
    same = newest is not None and newest.id == attempt.id
    newer = newest is None or (not same and is_newer(attempt, newest))
    replays = attempt.replay - last.replay if last is not None and last.id == attempt.id else 0
    late = (not newer and not same) or replays < 0
    assert (verdict.decision is Decision.LATE) == late
    assert verdict.is_newest == (newer and not late)
    assert verdict.is_replay == (replays > 0 and not late)


@given(asks, st.one_of(st.none(), seens), st.one_of(st.none(), histories))
def test_generations_only_grow_and_only_with_a_fresh_start(
    asked: IncomingRequest, newest: AttemptKey | None, lineage: Lineage | None
) -> None:
    verdict = decide(asked, newest, lineage)
    before = lineage.generation if lineage else 0
    match verdict.decision:
        case Decision.FRESH:
            assert verdict.generation == before + 1
        case Decision.LATE:
            assert verdict.generation == 0
        case _:
            assert verdict.generation == before >= 1


@given(asks, histories)
def test_a_clear_never_uses_what_was_before_unless_told_to(asked: IncomingRequest, lineage: Lineage) -> None:
    assert asked.attempt is not None
    earlier = lineage.attempt
    if asked.attempt.id == earlier.id:
        return
    unmoved = (asked.attempt.run_start, asked.attempt.max_tries) == (earlier.run_start, earlier.max_tries)
    retry = unmoved and asked.attempt.try_number > earlier.try_number and not asked.returned
    verdict = decide(asked, earlier, lineage)
    if retry or verdict.decision is Decision.LATE:
        return
    if asked.on_clear == "restart" or lineage.status is RunStatus.COMPLETED:
        assert verdict.decision is Decision.FRESH


@given(asks, st.one_of(st.none(), seens), histories)
def test_other_work_is_never_continued_nor_answered_for(
    asked: IncomingRequest, newest: AttemptKey | None, lineage: Lineage
) -> None:
    if asked.work != lineage.work:
        assert decide(asked, newest, lineage).decision in (Decision.FRESH, Decision.LATE)


@given(asks, st.one_of(st.none(), seens), histories)
def test_only_what_has_a_result_is_answered_and_only_what_has_none_resumes(
    asked: IncomingRequest, newest: AttemptKey | None, lineage: Lineage
) -> None:
    asks = lineage.status is RunStatus.INTERRUPTED and lineage.is_asking
    has_result = lineage.status is RunStatus.COMPLETED or asks
    decision = decide(asked, newest, lineage).decision
    assert not (decision is Decision.ANSWERED and not has_result)
    assert not (decision is Decision.RESUMED and has_result)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True))
def test_tries_of_one_run_end_with_the_highest_in_any_order(numbers: list[int]) -> None:
    """Whatever order Kafka brings them in: the highest try rules, and no lower one is accepted after it."""
    tries = [AttemptKey(UUID(int=99 - number), number, 3, START) for number in numbers]  # clocks that run backwards
    for order in permutations(tries):
        newest: AttemptKey | None = None
        for one in order:
            verdict = decide(IncomingRequest(WorkKey("g", None, "1"), one), newest, None)
            assert (verdict.decision is Decision.LATE) == (newest is not None and one.try_number < newest.try_number)
            newest = one if verdict.is_newest else newest
        assert newest is not None
        assert newest.try_number == max(numbers)
