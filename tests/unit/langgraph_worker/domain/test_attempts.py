"""The table of identity, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from langgraph_worker.domain.attempts import AttemptKey, IncomingRequest, Lineage, Verdict, WorkKey, decide, is_newer
from langgraph_worker.domain.models import Decision, RunStatus

START = datetime(2026, 3, 1, tzinfo=UTC)
WORK = WorkKey("graph", None, "h1")
ENDED_BADLY = [RunStatus.FAILED, RunStatus.CANCELLED]
UNFINISHED = [RunStatus.PENDING, RunStatus.RUNNING]
ANSWERABLE = [RunStatus.COMPLETED, RunStatus.INTERRUPTED]


def seen(
    try_number: int, *, at: int | None = None, max_tries: int = 3, run_start: datetime | None = START
) -> AttemptKey:
    """A try whose id was drawn at a fitting time, unless given."""
    number = 1_000 * try_number if at is None else at
    return AttemptKey(UUID(int=(number << 80) | (7 << 76) | (2 << 62)), try_number, max_tries, run_start)


def after(
    status: RunStatus, asked: IncomingRequest, *, first: AttemptKey | None = None, generation: int = 1
) -> Verdict:
    """The verdict on a request whose lineage's first try stands so."""
    first = first or seen(1)
    return decide(asked, first, Lineage(generation, WORK, first, status, is_asking=status is RunStatus.INTERRUPTED))


RETRY = IncomingRequest(WORK, seen(2))
CLEAR = IncomingRequest(WORK, seen(2, max_tries=4))


def test_a_plain_request_is_fresh_whatever_is_known() -> None:
    verdict = decide(IncomingRequest(WORK), None, None)
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (Decision.FRESH, 1, False)


@pytest.mark.parametrize("try_number", [0, 1, 2])
def test_the_first_request_of_a_task_is_fresh_at_any_try(try_number: int) -> None:
    verdict = decide(IncomingRequest(WORK, seen(try_number)), None, None)
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (Decision.FRESH, 1, True)


def test_a_new_agent_of_a_known_attempt_is_fresh_and_supersedes_nobody() -> None:
    verdict = decide(IncomingRequest(WORK, seen(2)), seen(2), None)
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (Decision.FRESH, 1, False)


@pytest.mark.parametrize("status", ANSWERABLE)
def test_a_retry_of_what_succeeded_or_waits_for_a_person_is_answered(status: RunStatus) -> None:
    verdict = after(status, RETRY, generation=3)
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (Decision.ANSWERED, 3, True)


@pytest.mark.parametrize("status", ENDED_BADLY + UNFINISHED)
def test_a_retry_of_anything_else_resumes(status: RunStatus) -> None:
    verdict = after(status, RETRY, generation=3)
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (Decision.RESUMED, 3, True)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(replace(RETRY, attempt=seen(2, max_tries=4)), id="max_tries moved"),
        pytest.param(replace(RETRY, attempt=seen(2, run_start=START + timedelta(hours=1))), id="run_start moved"),
        pytest.param(replace(RETRY, attempt=seen(2, run_start=None)), id="run_start gone"),
        pytest.param(replace(RETRY, returned=True), id="a result was returned before"),
        pytest.param(replace(RETRY, attempt=seen(1, at=5_000)), id="the same try number, a newer id"),
        pytest.param(
            replace(RETRY, attempt=seen(1, at=5_000, run_start=START + timedelta(hours=1))), id="re-created run"
        ),
    ],
)
@pytest.mark.parametrize("status", list(RunStatus))
def test_what_is_newer_but_no_retry_is_a_clear_and_starts_afresh(changed: IncomingRequest, status: RunStatus) -> None:
    verdict = after(status, changed, generation=3)
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (Decision.FRESH, 4, True)


@pytest.mark.parametrize(
    "other", [WorkKey("graph", None, "h2"), WorkKey("graph2", None, "h1"), WorkKey("graph", "talk", "h1")]
)
@pytest.mark.parametrize("status", list(RunStatus))
@pytest.mark.parametrize("kind", [RETRY, replace(CLEAR, on_clear="resume"), IncomingRequest(WORK, seen(1))])
def test_other_work_starts_afresh(other: WorkKey, status: RunStatus, kind: IncomingRequest) -> None:
    verdict = after(status, replace(kind, work=other), generation=3)
    assert (verdict.decision, verdict.generation) == (Decision.FRESH, 4)


@pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.COMPLETED])
def test_on_retry_restart_starts_unfinished_work_afresh(status: RunStatus) -> None:
    verdict = after(status, replace(RETRY, on_retry="restart"), generation=3)
    assert (verdict.decision, verdict.generation) == (Decision.FRESH, 4)


def test_on_retry_restart_does_not_pay_again_for_a_success() -> None:
    assert after(RunStatus.COMPLETED, replace(RETRY, on_retry="restart")).decision is Decision.ANSWERED


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Decision.RESUMED) for status in ENDED_BADLY + UNFINISHED),
        (RunStatus.INTERRUPTED, Decision.ANSWERED),
        (RunStatus.COMPLETED, Decision.FRESH),
    ],
)
def test_on_clear_resume_continues_what_did_not_succeed(status: RunStatus, expected: Decision) -> None:
    assert after(status, replace(CLEAR, on_clear="resume")).decision is expected


def test_on_clear_says_nothing_about_retries_nor_on_retry_about_clears() -> None:
    assert after(RunStatus.FAILED, replace(RETRY, on_clear="restart")).decision is Decision.RESUMED
    assert after(RunStatus.FAILED, replace(CLEAR, on_retry="resume")).decision is Decision.FRESH


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(seen(1), id="an earlier try"),
        pytest.param(seen(1, at=9_000), id="an earlier try, from a host whose clock is ahead"),
        pytest.param(seen(2, at=1), id="the same try, an earlier id"),
        pytest.param(seen(9, at=1, run_start=START - timedelta(days=1)), id="a higher try of the DAG run before"),
    ],
)
def test_what_is_older_than_the_newest_is_late(late: AttemptKey) -> None:
    verdict = decide(IncomingRequest(WORK, late), seen(2), Lineage(1, WORK, seen(2), RunStatus.FAILED))
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (Decision.LATE, 0, False)


def test_lateness_is_decided_per_task_even_for_an_agent_that_was_never_seen() -> None:
    assert decide(IncomingRequest(WORK, seen(1)), seen(2), None).decision is Decision.LATE


def test_a_lineage_that_missed_a_clear_still_starts_afresh() -> None:
    """Agent b ran in try 1; the clear's try 2 reached us from agent a only; now comes b's try 3, a retry of that."""
    cleared = seen(2, max_tries=4)
    verdict = decide(
        IncomingRequest(WORK, seen(3, max_tries=4)),
        cleared,
        Lineage(1, WORK, seen(1, max_tries=3), RunStatus.COMPLETED),
    )
    assert (verdict.decision, verdict.generation) == (Decision.FRESH, 2)


def test_a_retry_of_a_retry_that_never_reached_us_resumes() -> None:
    assert after(RunStatus.FAILED, IncomingRequest(WORK, seen(4))).decision is Decision.RESUMED


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Decision.RESUMED) for status in ENDED_BADLY + UNFINISHED),
        *((status, Decision.ANSWERED) for status in ANSWERABLE),
    ],
)
def test_a_second_request_of_one_attempt_continues_its_lineage(status: RunStatus, expected: Decision) -> None:
    verdict = after(status, IncomingRequest(WORK, seen(1), on_retry="restart"), generation=3)
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (expected, 3, False)


def test_try_numbers_beat_clocks_within_a_run_and_ids_decide_between_runs() -> None:
    assert is_newer(seen(2, at=1), seen(1, at=9))
    assert is_newer(seen(1, at=9, run_start=None), seen(2, at=1))
    assert is_newer(seen(2, at=1, run_start=None), seen(1, at=9, run_start=None))


ANSWER = WorkKey("graph", None, "answer")


def test_an_answered_question_is_not_answered_for_again() -> None:
    lineage = Lineage(1, WORK, seen(1), RunStatus.INTERRUPTED, is_asking=False)
    assert decide(RETRY, seen(1), lineage).decision is Decision.RESUMED


@pytest.mark.parametrize("status", list(RunStatus))
def test_an_answer_of_the_same_attempt_keeps_its_generation_whatever_the_input(status: RunStatus) -> None:
    verdict = after(status, IncomingRequest(ANSWER, seen(1), is_answer=True), generation=4)
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (Decision.ANSWER, 4, False)


def test_a_plain_answer_is_an_answer() -> None:
    assert decide(IncomingRequest(ANSWER, is_answer=True), None, None).decision is Decision.ANSWER


@pytest.mark.parametrize(
    ("status", "decision"),
    [
        (RunStatus.COMPLETED, Decision.ANSWERED),
        (RunStatus.FAILED, Decision.ANSWER),
        (RunStatus.RUNNING, Decision.ANSWER),
    ],
)
def test_a_task_that_answers_retries_like_any_other(status: RunStatus, decision: Decision) -> None:
    answering = Lineage(1, ANSWER, seen(1), status)
    assert decide(IncomingRequest(ANSWER, seen(2), is_answer=True), seen(1), answering).decision is decision


def test_an_answer_of_an_older_attempt_is_late() -> None:
    verdict = decide(
        IncomingRequest(ANSWER, seen(1), is_answer=True), seen(2), Lineage(1, WORK, seen(2), RunStatus.INTERRUPTED)
    )
    assert verdict.decision is Decision.LATE


def test_a_replay_is_newer_than_its_origin_and_older_than_any_later_attempt() -> None:
    tries = [replace(seen(1), replay=number) for number in range(3)]
    for number, one in enumerate(tries):
        for other_number, other in enumerate(tries):
            verdict = decide(IncomingRequest(WORK, one), other, Lineage(1, WORK, other, RunStatus.RUNNING))
            assert verdict.is_replay == (number > other_number)
            assert (verdict.decision is Decision.LATE) == (number < other_number)
            assert not verdict.is_newest
    assert is_newer(seen(2), tries[2])
    assert not is_newer(tries[2], seen(2))


def test_a_replay_and_the_other_agents_of_its_attempt_are_neither_newer_nor_older() -> None:
    replay, other_agent = replace(seen(1), replay=1), Lineage(1, WORK, seen(1), RunStatus.RUNNING)
    for verdict in (
        decide(IncomingRequest(WORK, seen(1)), replay, other_agent),
        decide(IncomingRequest(WORK, seen(1)), replay, None),
    ):
        assert (verdict.is_newest, verdict.is_replay) == (False, False)
        assert verdict.decision is not Decision.LATE


@pytest.mark.parametrize("status", ENDED_BADLY)
def test_a_replay_resumes_like_a_retry(status: RunStatus) -> None:
    verdict = after(status, IncomingRequest(WORK, replace(seen(1), replay=1), returned=True))
    assert (verdict.decision, verdict.generation, verdict.is_newest) == (Decision.RESUMED, 1, False)
    assert verdict.is_replay


def test_a_replay_of_what_was_tried_again_is_late() -> None:
    assert decide(IncomingRequest(WORK, replace(seen(1), replay=1)), seen(2), None).decision is Decision.LATE


def test_a_replay_that_comes_twice_supersedes_nobody() -> None:
    replayed = replace(seen(1), replay=1)
    lineage = Lineage(1, WORK, replayed, RunStatus.RUNNING)
    verdict = decide(IncomingRequest(WORK, replayed), replayed, lineage)
    assert (verdict.is_newest, verdict.is_replay) == (False, False)
