"""What the waiters of one process share: a consumer for each connection and topic, and settings that know their key."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

RESTART_SECONDS = 5.0
"""Between the start of a consumer that failed and that of the next."""

AT_ONCE = 50
BYTES_AT_ONCE = 500_000
"""How many things, and how many bytes unless one alone has more, are handed out in one turn of the event loop."""

_T = TypeVar("_T")


class Settings(dict[str, Any]):
    """The librdkafka settings of a connection, shared by many, which know their key."""

    @cached_property
    def key(self) -> str:
        """As :func:`key_of_settings` says."""
        return key_of_settings(dict(self))


def key_of_settings(settings: dict[str, Any]) -> str:
    """Settings that are equal have equal keys; callbacks do not count."""
    if isinstance(settings, Settings):
        return settings.key
    plain = {name: value for name, value in settings.items() if not callable(value)}
    return json.dumps(plain, sort_keys=True, default=str)


class FanOut(Generic[_T]):
    """Hands things out over several turns of the event loop: each makes work, and the loop has other work to do too.

    :param hand_out: called with one thing, in the event loop.
    :param size: of a thing, in bytes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        hand_out: Callable[[_T], None],
        size: Callable[[_T], int] = lambda _: 0,
    ) -> None:
        self._loop = loop
        self._hand_out = hand_out
        self._size = size
        self._waiting: deque[_T] = deque()

    def add(self, things: Sequence[_T]) -> None:
        """Hand out these as well. Belongs to the event loop."""
        if things and not self._waiting:
            self._loop.call_soon(self._take_turn)
        self._waiting.extend(things)

    def _take_turn(self) -> None:
        room = BYTES_AT_ONCE
        try:
            for _ in range(min(AT_ONCE, len(self._waiting))):
                thing = self._waiting.popleft()
                self._hand_out(thing)
                room -= self._size(thing)
                if room <= 0:
                    break
        finally:  # if one fails, the others are still handed out
            if self._waiting:
                self._loop.call_soon(self._take_turn)


class Shareable(Protocol):
    """A consumer that can be shared.

    :ivar users: how many use it.
    """

    users: int

    @property
    def failed(self) -> bool:
        """Whether it has given up, and closed itself; a new one must take its place."""

    def close(self) -> None:
        """Stop reading. Returns at once."""


_S = TypeVar("_S", bound="Shareable")


@dataclass(slots=True)
class _Started(Generic[_S]):
    consumer: _S
    at: float

    def is_spent(self, now: float) -> bool:
        return self.consumer.failed and now - self.at >= RESTART_SECONDS


class Shared(Generic[_S]):
    """One consumer for each event loop, connection and topic: started with its first user, closed with its last.

    One that failed as soon as it was started keeps its place for a moment: a thousand waiters that come back one after
    the other would start a thousand more.

    :param now: the clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._started: dict[tuple[asyncio.AbstractEventLoop, str, str], _Started[_S]] = {}

    def join(self, settings: dict[str, Any], topic: str, start: Callable[[], _S]) -> _S:
        """Use the one there is, else a new one."""
        key = (asyncio.get_running_loop(), topic, key_of_settings(settings))
        self._tidy_up()
        if key not in self._started:
            self._started[key] = _Started(start(), self._now())
        consumer = self._started[key].consumer
        consumer.users += 1
        return consumer

    def _tidy_up(self) -> None:
        for key, started in list(self._started.items()):
            is_left_over = key[0].is_closed()
            if is_left_over or started.is_spent(self._now()):
                del self._started[key]
            if is_left_over:
                with suppress(RuntimeError):  # its loop is closed: no waiter is left
                    started.consumer.close()

    def leave(self, consumer: _S) -> None:
        """Use it no more."""
        consumer.users -= 1
        if consumer.users == 0 and not consumer.failed:
            for key in [key for key, started in self._started.items() if started.consumer is consumer]:
                del self._started[key]
                consumer.close()
