"""Whatever workers ask for, give back, keep and lose: no minute at the provider has more calls than are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_worker.domain.model_turns import (
    SLACK_SECONDS,
    SLOT_SECONDS,
    ModelLimit,
    SlotCount,
    TurnRequest,
    TurnWindow,
    slot_at,
)
from tests.support.model_server import most_within

MINUTE = 10.0
BEGAN = 1_000_000.0

asks = st.tuples(st.just("ask"), st.integers(1, 6))
steps = st.one_of(
    asks,
    asks,
    st.tuples(st.just("pass"), st.floats(0.0, 14.0)),
    st.tuples(st.sampled_from(["cancel", "keep", "go on", "crash"]), st.integers(0, 20)),
    st.tuples(st.just("cool"), st.floats(0.0, 9.0)),
)


@dataclass
class Fleet:
    """Turns that are given; their calls are sent when their time comes, however late they may be."""

    limit: ModelLimit
    delays: list[float]
    now: float = BEGAN
    counts: Mapping[int, SlotCount] = field(default_factory=dict)
    cool_until: float = 0.0
    waiting: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    asked: int = 0

    def take(self, **asked: object) -> list[int]:
        window = TurnWindow(self.counts, self.limit, self.now, self.cool_until)
        given = window.take(TurnRequest("m", self.limit, **asked))  # type: ignore[arg-type]
        self.counts = {**self.counts, **window.changed}
        for turn in given:
            assert turn.slot * SLOT_SECONDS == self.now + turn.wait_seconds
            assert turn.wait_seconds > -SLOT_SECONDS
            assert turn.slot * SLOT_SECONDS + SLOT_SECONDS > self.cool_until
        return [turn.slot for turn in given]

    def step(self, what: str, number: float) -> None:
        match what:
            case "ask":
                self.waiting += self.take(wanted=int(number))
            case "pass":
                self.now += number
            case "cool":
                self.cool_until = max(self.cool_until, self.now + number)
            case "cancel" if self.waiting:
                self.take(returned=(self.waiting.pop(int(number) % len(self.waiting)),))
            case "crash" if self.waiting:
                self.waiting.pop(int(number) % len(self.waiting))
            case "keep" if self.waiting:
                self.kept.append(self.waiting.pop(int(number) % len(self.waiting)))
            case "go on" if self.kept:
                self.waiting += self.take(held=(self.kept.pop(int(number) % len(self.kept)),))
        self.send()

    def send(self) -> None:
        due = [slot for slot in self.waiting if slot <= slot_at(self.now)]
        self.waiting = [slot for slot in self.waiting if slot not in due]
        for slot in due:
            delay = self.delays[len(self.arrivals) % len(self.delays)]
            self.arrivals.append(slot * SLOT_SECONDS + delay)


@given(
    st.integers(1, 7),
    st.lists(st.floats(0.0, SLACK_SECONDS, exclude_max=True), min_size=1, max_size=5),
    st.lists(steps, max_size=60),
)
@settings(deadline=None)
def test_no_minute_has_more_calls_than_allowed_and_every_call_has_its_turn(most, delays, script):
    fleet = Fleet(ModelLimit(most, None, MINUTE), delays)
    for what, number in script:
        fleet.step(what, number)
    left = len(fleet.waiting)
    if left:  # progress: the last turn is not further away than the line is long
        lines = -(-(len(fleet.counts) and sum(count.requests for count in fleet.counts.values())) // most) + 1
        assert max(fleet.waiting) <= slot_at(max(fleet.now, fleet.cool_until)) + lines * fleet.limit.slots
    fleet.step("pass", 10_000.0)
    assert fleet.waiting == []
    # Rounding: two arrivals of which one is in the minute by less than a microsecond.
    assert most_within(sorted(fleet.arrivals), MINUTE - 1e-6) <= most


@given(
    st.integers(10, 1_000),
    st.lists(st.tuples(st.integers(0, 300), st.floats(0.0, 8.0)), min_size=1, max_size=40),
)
@settings(deadline=None)
def test_no_call_begins_while_the_minute_s_tokens_are_used_up(most, calls):
    limit = ModelLimit(None, most, MINUTE)
    counts: Mapping[int, SlotCount] = {}
    now = BEGAN
    answered: list[tuple[int, int]] = []
    for tokens, later in calls:
        window = TurnWindow(counts, limit, now, 0.0)
        (turn,) = window.take(TurnRequest("m", limit, 1))
        counts = {**counts, **window.changed}
        used = sum(took for at, took in answered if turn.slot - limit.slots < at <= turn.slot)
        assert used < most
        now = max(now, turn.slot * SLOT_SECONDS)
        window = TurnWindow(counts, limit, now, 0.0)
        window.take(TurnRequest("m", limit, answered=(tokens,)))
        counts = {**counts, **window.changed}
        answered.append((slot_at(now), tokens))
        now += later
