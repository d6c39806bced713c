"""The window of a model's turns, from one slot to the next."""

from __future__ import annotations

import pytest

from langgraph_worker.domain.model_turns import (
    LATE_SECONDS,
    SLACK_SECONDS,
    SLOT_SECONDS,
    ModelLimit,
    SlotCount,
    TurnRequest,
    TurnWindow,
    slot_at,
)

NOW = 1_000_000.25  # a quarter of a second after its slot has begun
FIRST = slot_at(NOW)
TWO = ModelLimit(requests=2)


def given(window: TurnWindow, **asked: object) -> list[int]:
    """How many slots after the present one the turns are."""
    limit = window._limit
    return [turn.slot - FIRST for turn in window.take(TurnRequest("m", limit, **asked))]  # type: ignore[arg-type]


def window(counts: dict[int, SlotCount] | None = None, limit: ModelLimit = TWO, **more: float) -> TurnWindow:
    at = {FIRST + slot: count for slot, count in (counts or {}).items()}
    return TurnWindow(at, limit, more.get("now", NOW), more.get("cool_until", 0.0))


def test_a_minute_is_the_window_with_the_slack_around_it():
    assert TWO.slots == 124
    assert ModelLimit(1, None, 6.0).slots == 16
    assert LATE_SECONDS < SLACK_SECONDS - SLOT_SECONDS


def test_turns_come_one_window_after_those_that_fill_it():
    assert given(window(), wanted=5) == [0, 0, 124, 124, 248]


def test_a_turn_is_the_first_that_no_window_refuses():
    # One slot before: full with the present one; one far ahead leaves room for one beside it.
    assert given(window({-1: SlotCount(1), 100: SlotCount(1)}), wanted=3) == [123, 224, 247]
    assert given(window({-124: SlotCount(2)}), wanted=1) == [0]
    assert given(window({-123: SlotCount(2)}), wanted=1) == [1]


def test_a_wait_is_from_now_to_the_beginning_of_the_slot():
    turns = window().take(TurnRequest("m", TWO, 3))
    assert [turn.wait_seconds for turn in turns] == [-0.25, -0.25, 61.75]


def test_a_limit_that_others_exceed_is_kept_to():
    # A worker with a higher limit has filled the window beyond ours.
    assert given(window({-2: SlotCount(5)}), wanted=1) == [122]


def test_what_is_given_back_is_free_again():
    full = {-1: SlotCount(1), 0: SlotCount(1)}
    assert given(window(full), wanted=1) == [123]
    assert given(window(full), wanted=1, returned=(FIRST - 1,)) == [0]
    assert given(window(full), wanted=1, returned=(FIRST - 7, FIRST - 500)) == [123]


def test_a_kept_turn_is_given_again_and_only_while_it_lies_ahead():
    kept = {0: SlotCount(2), 124: SlotCount(1)}
    some = window(kept)
    assert given(some, held=(FIRST + 124,)) == [124]
    assert some.changed == {}
    # Its slot has begun: its call may have been sent. One that nobody knows is none.
    assert given(window(kept), held=(FIRST,)) == [124]
    assert given(window(kept), held=(FIRST + 5,)) == [124]


def test_no_turn_begins_while_the_model_cools():
    assert given(window(cool_until=NOW + 10), wanted=1) == [21]
    assert given(window({4: SlotCount(1)}, cool_until=NOW + 10), held=(FIRST + 4,)) == [21]


def test_without_a_limit_of_requests_turns_are_counted_all_the_same():
    some = window(limit=ModelLimit(tokens=100))
    assert given(some, wanted=3) == [0, 0, 0]
    assert some.changed == {FIRST: SlotCount(3)}


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({-10: SlotCount(1, 1, 99)}, [114]),  # it and an average one more are too many
        ({-10: SlotCount(2, 2, 100)}, [114]),
        ({-10: SlotCount(1, 1, 50)}, [0]),
        ({-10: SlotCount(1, 1, 50), -5: SlotCount(1)}, [114]),  # one has not come back: it counts as the other
        ({-124: SlotCount(1, 1, 99)}, [0]),  # another minute
        ({-10: SlotCount(4)}, [0]),  # nothing is known
        ({-10: SlotCount(1, 1, 500)}, [114]),  # each takes more than a minute allows: one a minute
    ],
)
def test_no_call_begins_while_the_minute_s_tokens_are_used_up(before, expected):
    assert given(window(before, ModelLimit(tokens=100)), wanted=1) == expected


def test_tokens_count_from_the_answer_on():
    some = window({-3: SlotCount(2)}, ModelLimit(tokens=100))
    assert given(some, answered=(60, 70), wanted=1) == [124]
    assert some.changed[FIRST] == SlotCount(0, 2, 130)


def test_many_turns_of_a_high_limit():
    limit = ModelLimit(requests=10_000)
    turns = given(window(limit=limit), wanted=300)
    assert turns == [0] * 300


def test_a_limit_says_what_it_allows():
    assert ModelLimit(60, 200_000).words == "60 requests and 200,000 tokens a minute"
    assert ModelLimit(None, 5).words == "5 tokens a minute"
