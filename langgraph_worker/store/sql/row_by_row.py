"""Handle many rows in one transaction; if one of them cannot be handled, each in a transaction of its own (rule 20)."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, true

from langgraph_worker.errors import RowError, StoreError

logger = logging.getLogger(__name__)

_LOOK_AGAIN_SECONDS = 600.0  # at a row that was set aside: a person may have mended it

_K = TypeVar("_K")
_T = TypeVar("_T")
_R = TypeVar("_R", covariant=True)


@dataclass(frozen=True, slots=True)
class Among(Generic[_K]):
    """The rows that a transaction may look for.

    :param only: the key of a single one; None for all.
    :param but: the keys of those that it leaves out.
    """

    only: _K | None = None
    but: Collection[_K] = ()

    @property
    def are_all(self) -> bool:
        """Whether it may look for every row."""
        return self.only is None and not self.but

    def those(self, key: ColumnElement[Any]) -> ColumnElement[bool]:
        """The condition on the column with the key."""
        if self.only is not None:
            return key == self.only
        return key.not_in(list(self.but)) if self.but else true()


EVERY: Among[Any] = Among()


class SetAside(Generic[_K]):
    """Rows that this store client could not handle, and leaves out of its next tries.

    :param now: seconds of a monotonic clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._until: dict[_K, float] = {}
        self._now = now

    def add(self, key: _K) -> None:
        """Leave this one out for ten minutes."""
        self._until[key] = self._now() + _LOOK_AGAIN_SECONDS

    def keys(self) -> set[_K]:
        """What is left out now."""
        now = self._now()
        self._until = {key: until for key, until in self._until.items() if until > now}
        return set(self._until)


class Run(Protocol):
    """Runs a transaction of the store, which gets the connection and the store's time."""

    def __call__(self, work: Callable[[Connection, datetime], _T], /) -> Awaitable[_T]: ...


@dataclass(frozen=True, slots=True)
class RowWork(Generic[_K, _R]):
    """What is done with the rows.

    :param what: it in words, for the log: "claim the thread".
    :param run: runs each of the transactions.
    :param handle: handles the rows that it finds among these.
    :param find: the keys of those rows.
    :param give_up: handles one row that ``handle`` cannot, with as little as possible. None: it is only set aside.
    """

    what: str
    run: Run
    handle: Callable[[Connection, datetime, Among[_K]], _R]
    find: Callable[[Connection, datetime, Among[_K]], Collection[_K]]
    give_up: Callable[[Connection, datetime, _K], None] | None = None

    async def do(self, aside: SetAside[_K]) -> list[_R]:
        """Handle the rows; the results of the transactions that it took.

        :param aside: the rows to leave out; gets those that cannot be handled at all.
        :raises StoreError: the store failed, and nothing was done.
        """
        among: Among[_K] = Among(but=aside.keys())
        try:
            return [await self.run(lambda connection, now: self.handle(connection, now, among))]
        except Exception as error:
            if not _lies_in_a_row(error):
                raise
        done: list[_R] = []
        for key in await self.run(lambda connection, now: self.find(connection, now, among)):
            try:
                done += await self._do_one(key, aside)
            except StoreError:
                if done:
                    return done  # what is done is durable; the next call raises again
                raise
        return done

    async def _do_one(self, key: _K, aside: SetAside[_K]) -> list[_R]:
        try:
            return [await self.run(lambda connection, now: self.handle(connection, now, Among(only=key)))]
        except Exception as error:
            if not _lies_in_a_row(error):
                raise
            logger.error("cannot %s %s: %s", self.what, key, error, extra={"action": "row_failed"})
        if not await self._given_up(key):
            aside.add(key)
        return []

    async def _given_up(self, key: _K) -> bool:
        give_up = self.give_up
        if give_up is None:
            return False
        try:
            await self.run(lambda connection, now: give_up(connection, now, key))
        except Exception as error:
            if not _lies_in_a_row(error):
                raise
            logger.error("%s is set aside: %s", key, error, extra={"action": "set_aside"})
            return False
        return True


def _lies_in_a_row(error: Exception) -> bool:
    return isinstance(error, RowError) or not isinstance(error, StoreError | MemoryError)
