"""What waiters of one process share: a listener for each connection and topic, and settings that know their key."""

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
"""Between the start of a listener that failed and that of the next."""

AT_ONCE = 50
BYTES_AT_ONCE = 500_000
"""Things, and bytes unless one alone has more, that are handed out in one turn of the event loop."""

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


class Turns(Generic[_T]):
    """Hands things out over several turns of the event loop: each makes work, and others want their turn too.

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
        """Hand these out, too. Belongs to the event loop."""
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
        finally:  # whatever becomes of one, the others are still to be handed out
            if self._waiting:
                self._loop.call_soon(self._take_turn)


class Listener(Protocol):
    """What can be shared.

    :ivar users: how many use it.
    """

    users: int

    @property
    def failed(self) -> bool:
        """Whether it has given up, and closed itself; a new one must take its place."""

    def close(self) -> None:
        """Stop reading. Returns at once."""


_L = TypeVar("_L", bound="Listener")


@dataclass(slots=True)
class _Started(Generic[_L]):
    listener: _L
    at: float

    @property
    def is_spent(self) -> bool:
        return self.listener.failed and time.monotonic() - self.at >= RESTART_SECONDS


class Shared(Generic[_L]):
    """One listener for each event loop, connection and topic: started with its first user, closed with its last.

    One that failed as soon as it was started keeps its place for a moment: a thousand waiters that come back one after
    the other would start a thousand more.
    """

    def __init__(self) -> None:
        self._started: dict[tuple[asyncio.AbstractEventLoop, str, str], _Started[_L]] = {}

    def join(self, settings: dict[str, Any], topic: str, start: Callable[[], _L]) -> _L:
        """Use the one there is, else a new one."""
        key = (asyncio.get_running_loop(), topic, key_of_settings(settings))
        self._tidy_up()
        if key not in self._started:
            self._started[key] = _Started(start(), time.monotonic())
        listener = self._started[key].listener
        listener.users += 1
        return listener

    def _tidy_up(self) -> None:
        for key, started in list(self._started.items()):
            is_left_over = key[0].is_closed()
            if is_left_over or started.is_spent:
                del self._started[key]
            if is_left_over:
                with suppress(RuntimeError):  # nobody is there to be told
                    started.listener.close()

    def leave(self, listener: _L) -> None:
        """Use it no more."""
        listener.users -= 1
        if listener.users == 0 and not listener.failed:
            for key in [key for key, started in self._started.items() if started.listener is listener]:
                del self._started[key]
                listener.close()
