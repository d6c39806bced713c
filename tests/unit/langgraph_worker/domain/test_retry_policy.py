"""Which errors are repeated, how often, and after how long."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_worker.domain.retry_policy import (
    DEFAULT_RULES,
    LONGEST_WAIT_SECONDS,
    SHORTEST_STEP_SECONDS,
    Attempted,
    BackOff,
    ErrorClass,
    NoRetry,
    RaisedError,
    Retried,
    RetryRule,
    RetryRules,
    next_try,
)

TIMES = {
    ErrorClass.RATE_LIMIT: 5,
    ErrorClass.TIMEOUT: 3,
    ErrorClass.CONNECTION: 3,
    ErrorClass.SERVER_ERROR: 3,
    ErrorClass.CONTEXT_LENGTH: 1,
}
RULES = RetryRules(fallback_model="large")
USUAL = Attempted()


def retry(kind: ErrorClass, attempted: Attempted = USUAL, after: float | None = None, chance: float = 0.5) -> BackOff:
    found = next_try(RULES, RaisedError(kind, after), attempted, chance)
    assert isinstance(found, BackOff)
    return found


def end(
    kind: ErrorClass, attempted: Attempted = USUAL, rules: RetryRules = RULES, after: float | None = None
) -> NoRetry:
    found = next_try(rules, RaisedError(kind, after), attempted, 0.5)
    assert isinstance(found, NoRetry)
    return found


@pytest.mark.parametrize(("kind", "times"), TIMES.items())
def test_a_class_is_repeated_so_often_and_no_more(kind, times):
    retried = Retried()
    for number in range(1, times + 1):
        retried = retry(kind, Attempted(retried)).retried
        assert retried.times == {kind: number}
    end(kind, Attempted(retried))


def test_each_class_counts_for_itself():
    retried = Retried({ErrorClass.RATE_LIMIT: 5, ErrorClass.TIMEOUT: 2})
    assert retry(ErrorClass.TIMEOUT, Attempted(retried)).retried.times[ErrorClass.TIMEOUT] == 3
    assert end(ErrorClass.RATE_LIMIT, Attempted(retried)).reason == "the worker has repeated it 5 times (rate_limit)"


def test_anything_else_is_final():
    assert end(ErrorClass.FINAL) == NoRetry()


@pytest.mark.parametrize("kind", [kind for kind in TIMES if kind is not ErrorClass.CONTEXT_LENGTH])
def test_each_wait_is_twice_as_long_until_the_longest(kind):
    rule = DEFAULT_RULES[kind]
    waits = [rule.wait(repeated, None, 0.5) for repeated in range(12)]
    assert waits[0] == rule.wait_seconds
    assert all(after == min(2 * before, rule.max_wait_seconds) for before, after in itertools.pairwise(waits))


@given(st.integers(0, 100), st.none() | st.floats(0, 1e6), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_shorter_than_the_server_asks_nor_than_half_of_its_own(repeated, asked, chance):
    rule = RetryRule(100, 4.0, 120.0)
    wait = rule.wait(repeated, asked, chance)
    assert wait >= max(asked or 0.0, min(4.0 * 2**repeated, 120.0) / 2)
    assert wait <= max(180.0, (asked or 0.0) + 4.0)


def test_runs_that_failed_together_do_not_return_together():
    waits = {
        retry(ErrorClass.RATE_LIMIT, after=after, chance=chance / 10).wait_seconds
        for after in (None, 60.0)
        for chance in range(10)
    }
    assert len(waits) == 20


def test_a_wait_that_goes_beyond_the_deadline_ends_the_run():
    found = end(ErrorClass.RATE_LIMIT, Attempted(seconds_left=30.0), after=3_600.0)
    assert found.reason == "its server asks to wait 3,602 s (rate_limit), and the deadline is sooner"
    assert found.wait_seconds == 3_602.0
    own = end(ErrorClass.RATE_LIMIT, Attempted(seconds_left=2.0))
    assert own.reason == "the next try would start after 4.0 s (rate_limit), and the deadline is sooner"
    retry(ErrorClass.RATE_LIMIT, Attempted(seconds_left=5.0))


@pytest.mark.parametrize("seconds_left", [None, 30.0, 30 * 86_400.0])
def test_a_server_that_asks_to_wait_for_ever_ends_the_run(seconds_left):
    found = end(ErrorClass.RATE_LIMIT, Attempted(seconds_left=seconds_left), after=LONGEST_WAIT_SECONDS)
    assert found.reason == "its server asks to wait 7 days or longer (rate_limit), and no run waits so long"
    assert found.wait_seconds == LONGEST_WAIT_SECONDS + 2.0
    assert retry(ErrorClass.RATE_LIMIT, after=LONGEST_WAIT_SECONDS - 9.0).wait_seconds == LONGEST_WAIT_SECONDS - 7.0


def test_each_timeout_leaves_its_superstep_less_time():
    attempted, seconds = USUAL, []
    for took in (80.0, 60.0, 45.0):
        found = retry(ErrorClass.TIMEOUT, replace(attempted, step_seconds=took))
        seconds.append(found.retried.step_seconds)
        attempted = Attempted(found.retried)
    assert seconds == [60.0, 45.0, 33.75]
    assert retry(ErrorClass.TIMEOUT, Attempted(step_seconds=1.0)).retried.step_seconds == SHORTEST_STEP_SECONDS
    assert retry(ErrorClass.TIMEOUT).retried.step_seconds is None


def test_another_error_leaves_the_time_of_the_superstep_as_it_is():
    retried = Retried({ErrorClass.TIMEOUT: 1}, 30.0)
    assert retry(ErrorClass.CONNECTION, Attempted(retried, step_seconds=8.0)).retried.step_seconds == 30.0


def test_a_graph_may_leave_a_timeout_all_its_time():
    rules = RetryRules({ErrorClass.TIMEOUT: RetryRule(3, 1.0, 30.0)})
    found = next_try(rules, RaisedError(ErrorClass.TIMEOUT), Attempted(step_seconds=80.0), 0.5)
    assert isinstance(found, BackOff)
    assert found.retried.step_seconds is None


def test_a_run_that_is_too_long_for_its_model_goes_on_with_the_other_at_once():
    found = retry(ErrorClass.CONTEXT_LENGTH, Attempted(asked_model="small"))
    assert (found.wait_seconds, found.retried.model) == (0.0, "large")
    assert found.words == "context_length, with model 'large'"


@pytest.mark.parametrize("attempted", [Attempted(Retried(model="large")), Attempted(asked_model="large")])
def test_a_run_that_is_too_long_for_the_other_model_too_ends(attempted):
    assert end(ErrorClass.CONTEXT_LENGTH, attempted).reason == (
        "it is too long for 'large', the model that takes most (context_length)"
    )


def test_without_another_model_a_run_that_is_too_long_ends_and_says_where_to_name_one():
    assert "retries.context_length.model" in end(ErrorClass.CONTEXT_LENGTH, rules=RetryRules()).reason


def test_a_class_that_a_graph_does_not_repeat_says_nothing_but_the_wait():
    rules = RetryRules({ErrorClass.RATE_LIMIT: RetryRule(0, 4.0, 120.0)})
    for none in (rules, RetryRules({})):
        assert end(ErrorClass.RATE_LIMIT, rules=none) == NoRetry("", None)
        assert end(ErrorClass.RATE_LIMIT, rules=none, after=7.0) == NoRetry("", 7.0)


def test_a_new_checkpoint_leaves_the_model_only():
    retried = Retried({ErrorClass.TIMEOUT: 2}, 30.0, "large")
    assert retried.after_progress == Retried(model="large")
    assert not Retried()


@pytest.mark.parametrize(
    "retried",
    [Retried(), Retried({ErrorClass.TIMEOUT: 2, ErrorClass.RATE_LIMIT: 1}, 30.5), Retried(model="large")],
)
def test_what_was_repeated_is_kept_as_json(retried):
    assert Retried.from_json(retried.as_json()) == retried


def test_a_class_of_a_newer_version_is_left_out():
    assert Retried.from_json({"times": {"gravity": 2, "timeout": 1}}) == Retried({ErrorClass.TIMEOUT: 1})


def test_the_supersteps_of_all_starts_are_kept_for_the_recursion_limit():
    first = retry(ErrorClass.CONNECTION, Attempted(steps=4)).retried
    assert first.steps == 4
    second = retry(ErrorClass.CONTEXT_LENGTH, Attempted(first.after_progress, "small", steps=3)).retried
    assert (second.steps, dict(second.times)) == (7, {ErrorClass.CONTEXT_LENGTH: 1})
    assert Retried.from_json(second.as_json()) == second
    assert Retried.from_json({"times": {}, "step_seconds": None, "model": None}).steps == 0
