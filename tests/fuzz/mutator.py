"""The sequence of a seed: its n-th event is always the same one, whatever was made before."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from tests.fuzz import body_mutations, byte_mutations
from tests.fuzz.byte_mutations import NO_TEXT
from tests.fuzz.valid_events import CONTROL, EVENTS, REPLIES, WINDOW, Draft, Maker, Place
from workflow_events.codec import Record
from workflow_events.headers import correlation_id_of

_UNTOUCHED = 0.2
_REPEATED = 0.05
_RARELY = 0.01
_AIMED = 0.6


@dataclass(frozen=True, slots=True)
class Sample:
    """One record to be written.

    :ivar recipe: the shape that it began as, and what was done to it.
    :ivar fault: of what nobody changed: what the worker is to answer; None: it is to run.
    """

    number: int
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int | None
    recipe: tuple[str, ...]
    fault: str | None

    @property
    def is_untouched(self) -> bool:
        return len(self.recipe) == 1

    @property
    def is_named_in_text(self) -> bool:
        """Whether the name of each header is UTF-8: no others can be read, or written, with Python's client."""
        return not any(NO_TEXT in name for name, _ in self.headers)

    def record(self, topic: str = "events") -> Record:
        """As a worker's consumer delivers it."""
        headers, readable = (self.headers, True) if self.is_named_in_text else (None, False)
        where = (topic, 0, self.number)
        return Record(*where, self.value, headers, self.key, self.timestamp_ms, "fuzz", headers_readable=readable)

    def told(self) -> dict[str, Any]:
        """All of it, for a file that a person can read and a program can send again."""
        headers = [[name, None if value is None else base64.b64encode(value).decode()] for name, value in self.headers]
        value, key = (None if part is None else base64.b64encode(part).decode() for part in (self.value, self.key))
        shown = None if self.value is None else self.value[:2_000].decode("utf-8", "backslashreplace")
        return {
            "number": self.number,
            "recipe": self.recipe,
            "shown": shown,
            "value": value,
            "key": key,
            "headers": headers,  # of a name, bytes that are no text are surrogates
        }


class Mutator:
    """Makes events.

    :param reply_topic: one that events may name.
    """

    def __init__(self, seed: int, reply_topic: str = "results") -> None:
        self.seed = seed
        self._reply_topic = reply_topic

    def event(self, number: int) -> Sample:
        """The event of this number; some are an earlier one once more."""
        rng = self._random("event", number)
        if number % WINDOW > 10 and rng.random() < _REPEATED:
            earlier = self._made(EVENTS, "event", number - rng.randrange(1, 10))
            return replace(earlier, number=number, recipe=(*earlier.recipe, "repeated"), fault=None)
        return self._made(EVENTS, "event", number)

    def steering(self, number: int, near: int) -> Sample:
        """The control message of this number.

        :param near: a number whose neighbours' requests it may name, also before they come.
        """
        rng = self._random("aim", number)
        aim = None
        if rng.random() < _AIMED:
            aim = correlation_id_of(self.event(near + rng.randrange(150)).headers)
        return self._made(CONTROL, "control", number, aim)

    def reply(self, number: int) -> Sample:
        """The result, or the report of progress, of this number."""
        return self._made(REPLIES, "reply", number)

    def _random(self, kind: str, number: int) -> Random:
        return Random(f"{self.seed} {kind} {number}")

    def _made(self, makers: Sequence[Maker], kind: str, number: int, aim: UUID | None = None) -> Sample:
        rng = self._random(f"{kind} made", number)
        maker = rng.choice(makers)
        draft = maker(Place(number, rng, self._reply_topic, aim))
        recipe = [maker.__name__]
        if rng.random() < _UNTOUCHED:
            value: bytes | None = byte_mutations.dump(draft.body)
            time: int | None = 1_780_000_000_000
        else:
            value, time = _mutated(draft, rng, recipe)
        fault = draft.fault if len(recipe) == 1 else None
        return Sample(number, value, draft.key, tuple(draft.headers), time, tuple(recipe), fault)


def _mutated(draft: Draft, rng: Random, recipe: list[str]) -> tuple[bytes | None, int | None]:
    """Change it in one to four ways; its body and its time."""
    kinds = rng.choices(
        ("shape", "bytes", "headers", "null", "time"), (55, 20, 20, 1, 4), k=rng.choice((1, 1, 1, 2, 2, 3, 4))
    )
    for _ in range(kinds.count("shape")):
        _apply(_choose(rng, body_mutations.MUTATIONS, body_mutations.RARE), recipe)(draft.body, rng)
    value = byte_mutations.dump(draft.body)
    for _ in range(kinds.count("bytes")):
        value = _apply(_choose(rng, byte_mutations.BYTES, byte_mutations.RARE_BYTES), recipe)(value, rng)
    for _ in range(kinds.count("headers")):
        _apply(_choose(rng, byte_mutations.HEADERS, byte_mutations.RARE_HEADERS), recipe)(draft, rng)
    time: int | None = 1_780_000_000_000
    if "time" in kinds:
        recipe.append("time")
        time = byte_mutations.timestamp(rng)
    if "null" in kinds:
        recipe.append("null body")
        return None, time
    return value, time


def _choose(rng: Random, usual: Sequence[Any], rare: Sequence[Any]) -> Any:
    return rng.choice(rare if rng.random() < _RARELY else usual)


def _apply(mutation: tuple[str, Callable[..., Any]], recipe: list[str]) -> Callable[..., Any]:
    recipe.append(mutation[0])
    return mutation[1]


def save(samples: Sequence[Sample], path: Path) -> None:
    """Write samples down, a line of JSON each."""
    path.write_text("".join(json.dumps(sample.told(), ensure_ascii=True) + "\n" for sample in samples))
