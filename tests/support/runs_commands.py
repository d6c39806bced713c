"""``langgraph-worker runs``, called in the test's own process on a store of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import pytest

from langgraph_worker.cli.command_line import find_command, read_command_line
from langgraph_worker.store.sql.run_store import SqlRunStore

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class RunsCommands:
    """The commands, and the store that they read."""

    url: str
    capsys: pytest.CaptureFixture[str]

    def worked(self, work: Callable[[SqlRunStore], Awaitable[_T]]) -> _T:
        """What a worker has done with the store before it stopped."""

        async def in_store() -> _T:
            store = SqlRunStore(self.url)
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(in_store())

    def call(self, *words: str) -> Printed:
        """``langgraph-worker runs`` with these words."""
        flags, arguments = read_command_line(["runs", *words])
        self.capsys.readouterr()
        code = find_command(arguments.command)(flags, arguments)
        printed = self.capsys.readouterr()
        return Printed(code, printed.out, printed.err)
