"""What waiters of one process share: a listener for each connection and topic, and settings that know their key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar


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


class Listener(Protocol):
    """What can be shared.

    :ivar users: how many use it.
    """

    users: int

    @property
    def failed(self) -> bool:
        """Whether it has given up; a new one must take its place."""

    def close(self) -> None:
        """Stop reading. Returns at once."""


_L = TypeVar("_L", bound=Listener)


class Shared(Generic[_L]):
    """One listener for each event loop, connection and topic: started with its first user, closed with its last."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[asyncio.AbstractEventLoop, str, str], _L] = {}

    def join(self, settings: dict[str, Any], topic: str, start: Callable[[], _L]) -> _L:
        """Use the one there is, else a new one."""
        key = (asyncio.get_running_loop(), topic, key_of_settings(settings))
        listener = self._listeners.get(key)
        if listener is None or listener.failed:
            listener = self._listeners[key] = start()
        listener.users += 1
        return listener

    def leave(self, listener: _L) -> None:
        """Use it no more."""
        listener.users -= 1
        if listener.users == 0:
            for key in [key for key, kept in self._listeners.items() if kept is listener]:
                del self._listeners[key]
            listener.close()
