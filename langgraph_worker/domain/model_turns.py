"""When calls of a model may be sent, so that no minute has more of them than its provider allows: one window a model.

A call takes a *turn* before it is sent. A turn is in a *slot*: half a second by the clock of the run store, numbered
from the epoch. Turns are given out ahead of time, in the order in which they are asked for: a caller learns at once
when its turn comes, and asks nothing until then.

Between a slot's beginning and the arrival of its calls at the provider lies at most :data:`SLACK_SECONDS`, of which a
caller may use :data:`LATE_SECONDS`; one that comes later takes another turn. So calls that arrive within a minute had
their turns within a minute and the slack: that is the window in which no more turns are given than calls are allowed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from workflow_events.log_words import counted

SLOT_SECONDS = 0.5
SLACK_SECONDS = 2.0
LATE_SECONDS = 1.25
"""How long after the beginning of its slot a call may be sent. The rest of the slack is for its way."""
MINUTE_SECONDS = 60.0
LONGEST_COOLING_SECONDS = 600.0
"""For no longer does the 429 of one run hold back the calls of others: then one of them finds out what holds now."""


@dataclass(frozen=True, slots=True)
class ModelLimit:
    """What a provider allows of a model.

    :param requests: most calls in one minute; None: any number.
    :param tokens: most tokens in one minute, of input and output; None: any number.
    :param seconds: how long a minute is. Tests have shorter ones.
    """

    requests: int | None = None
    tokens: int | None = None
    seconds: float = MINUTE_SECONDS

    @property
    def slots(self) -> int:
        """The length of the window."""
        return math.ceil((self.seconds + SLACK_SECONDS) / SLOT_SECONDS)

    @property
    def words(self) -> str:
        """``60 requests and 200,000 tokens a minute``."""
        named = (("request", self.requests), ("token", self.tokens))
        return " and ".join(counted(number, noun) for noun, number in named if number is not None) + " a minute"


@dataclass(frozen=True, slots=True)
class SlotCount:
    """What is counted in one slot.

    :param requests: turns that were given.
    :param answered: calls that have come back in it, whenever their turns were.
    :param tokens: of those.
    """

    requests: int = 0
    answered: int = 0
    tokens: int = 0

    def __add__(self, other: SlotCount) -> SlotCount:
        return SlotCount(self.requests + other.requests, self.answered + other.answered, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a worker asks for a model, for all of its calls that wait, and what it reports.

    :param wanted: how many turns.
    :param held: a slot for each turn that a run has kept while it waited without a slot of the worker; each is given
        again, or another one if its time has come already.
    :param returned: a slot for each turn that was not used: its call was given up, or came too late.
    :param answered: the tokens of each call that has come back.
    """

    model: str
    limit: ModelLimit
    wanted: int = 0
    held: tuple[int, ...] = ()
    returned: tuple[int, ...] = ()
    answered: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenTurn:
    """A turn.

    :param wait_seconds: from the store's time at the request to the slot's beginning; down to minus one slot, if the
        slot has begun.
    """

    slot: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class TurnWait:
    """A run's calls wait for turns that come so late that the run gives its place back meanwhile.

    :param seconds: until it is to go on.
    :param turns: the slots of the turns that it keeps, by model.
    """

    model: str
    seconds: float
    turns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def slot_at(seconds: float) -> int:
    """The slot of a time, in seconds since the epoch."""
    return math.floor(seconds / SLOT_SECONDS)


class TurnWindow:
    """The turns of one model, as the store has them. It changes with what is asked and reported.

    :param counts: by slot.
    :param now: by the clock of the store, in seconds since the epoch.
    :param cool_until: before this time, in seconds since the epoch, no turn begins.
    """

    def __init__(self, counts: Mapping[int, SlotCount], limit: ModelLimit, now: float, cool_until: float) -> None:
        self._limit = limit
        self._now = now
        self._first = max(slot_at(now), math.ceil(cool_until / SLOT_SECONDS))
        self._before = {slot: count for slot, count in counts.items() if slot > slot_at(now) - limit.slots}
        self._counts = dict(self._before)

    def take(self, asked: TurnRequest) -> list[GivenTurn]:
        """Count what is reported, and give the turns: first those for what was held, in its order, then the others."""
        self._count(asked.returned, asked.answered)
        return [*(self._again(slot) for slot in asked.held), *(self._next() for _ in range(asked.wanted))]

    @property
    def changed(self) -> dict[int, SlotCount]:
        """What is to be written."""
        return {slot: count for slot, count in self._counts.items() if self._before.get(slot) != count}

    def _count(self, returned: Collection[int], answered: Collection[int]) -> None:
        for slot in returned:
            if (count := self._counts.get(slot)) is not None and count.requests > 0:
                self._counts[slot] = count + SlotCount(requests=-1)
        if answered:
            self._add(slot_at(self._now), SlotCount(0, len(answered), sum(answered)))

    def _add(self, slot: int, count: SlotCount) -> None:
        self._counts[slot] = self._counts.get(slot, SlotCount()) + count

    def _again(self, held: int) -> GivenTurn:
        # One whose slot has begun may have been used: its owner can have died between its call and its next checkpoint.
        if held > slot_at(self._now) and held >= self._first and self._counts.get(held, SlotCount()).requests > 0:
            return self._given(held)
        return self._next()

    def _given(self, slot: int) -> GivenTurn:
        return GivenTurn(slot, slot * SLOT_SECONDS - self._now)

    def _next(self) -> GivenTurn:
        slot = self._by_requests(self._first)
        while (later := self._later_by_tokens(slot)) is not None:
            slot = self._by_requests(later)
        self._add(slot, SlotCount(requests=1))
        return self._given(slot)

    def _by_requests(self, first: int) -> int:
        """The first slot, from this one on, in which one turn more is within the limit of each window."""
        most, length = self._limit.requests, self._limit.slots
        if most is None:
            return first
        full = self._full_groups(most)
        for begin, end in full:
            if end - length < first < begin + length:
                first = begin + length
        return first

    def _full_groups(self, most: int) -> list[tuple[int, int]]:
        """The first and last slot of turns that fill a window: no window that has all of them takes another one."""
        slots = sorted(slot for slot, count in self._counts.items() if count.requests)
        found, inside, end = [], 0, 0
        for begin in slots:
            while inside < most and end < len(slots):
                inside += self._counts[slots[end]].requests
                end += 1
            if inside < most:
                break
            if slots[end - 1] - begin < self._limit.slots:
                found.append((begin, slots[end - 1]))
            inside -= self._counts[begin].requests
        return found

    def _later_by_tokens(self, slot: int) -> int | None:
        """A later slot to look at, because the tokens of this one's window are used up; None: they are not.

        Of calls that have not come back it is assumed that they take as many tokens as the others on average.
        """
        if self._limit.tokens is None:
            return None
        before = {at: c for at, c in self._counts.items() if slot - self._limit.slots < at <= slot and c != SlotCount()}
        every = _total(self._counts.values())
        average = every.tokens / every.answered if every.answered else 0.0
        found = _total(before.values())
        used = found.tokens + average * max(0, found.requests - found.answered)
        if not before or used == 0 or used + average <= self._limit.tokens:
            return None
        return min(before) + self._limit.slots


def _total(counts: Collection[SlotCount]) -> SlotCount:
    return SlotCount(
        sum(count.requests for count in counts),
        sum(count.answered for count in counts),
        sum(count.tokens for count in counts),
    )
