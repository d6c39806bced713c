"""Writes that share a transaction, and no fate but the database's."""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph_worker.errors import StoreError
from langgraph_worker.store.sql.group_writer import GroupWriter


class Commits:
    """Writes batches, and fails where a test says so."""

    def __init__(self, *, bad: object = None, trouble: list[Exception] | None = None) -> None:
        self.bad, self.trouble = bad, trouble or []
        self.batches: list[list[Any]] = []
        self.begun = asyncio.Event()

    async def __call__(self, batch: Any) -> list[bool]:
        self.batches.append(list(batch))
        self.begun.set()
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble.pop()
        if self.bad in batch:
            raise ValueError("cannot be written")
        return [one != "void" for one in batch]


async def write(commits: Commits, *writes: object) -> list[Any]:
    writer = GroupWriter(commits)
    return await asyncio.gather(*(writer.write(one) for one in writes), return_exceptions=True)


async def test_what_comes_together_is_written_together_and_each_learns_its_own():
    commits = Commits()
    assert await write(commits, "a", "void", "c") == [True, False, True]
    assert commits.batches == [["a", "void", "c"]]


async def test_a_write_that_cannot_be_written_fails_alone():
    before, error, after = await write(Commits(bad="b"), "a", "b", "c")
    assert (before, after) == (True, True)
    assert isinstance(error, ValueError)


async def test_trouble_of_the_database_is_told_to_all_and_nothing_is_tried_alone():
    commits = Commits(trouble=[StoreError("away")])
    assert [type(error) for error in await write(commits, "a", "b")] == [StoreError, StoreError]
    assert commits.batches == [["a", "b"]]


async def test_what_comes_meanwhile_is_the_next_transaction():
    commits = Commits()
    writer = GroupWriter(commits)
    first = asyncio.create_task(writer.write("a"))
    await commits.begun.wait()
    assert await asyncio.gather(first, writer.write("b"), writer.write("c")) == [True] * 3
    assert commits.batches == [["a"], ["b", "c"]]
