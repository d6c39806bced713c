"""Runs what a node does, in an event loop or in a thread: one script is a node of either kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from langgraph.pregel import Pregel

from tests.random_graphs.description import Pause

Script = Generator[Any, Any, list[str]]
"""What a node does: it yields what takes time, and gets what came of it."""


@dataclass(frozen=True)
class Invoke:
    """Wanted: the results of a graph for these inputs.

    :param config: as a caller passes it; None: LangGraph finds the caller's.
    """

    graph: Pregel[Any]
    given: list[dict[str, Any]]
    config: Any
    together: bool


async def run_in_loop(script: Script) -> list[str]:
    try:
        wanted = next(script)
        while True:
            try:
                found = await _await(wanted)
            except BaseException as error:  # noqa: BLE001 - the script decides
                wanted = script.throw(error)
            else:
                wanted = script.send(found)
    except StopIteration as over:
        return over.value  # type: ignore[no-any-return]


def run_in_thread(script: Script) -> list[str]:
    try:
        wanted = next(script)
        while True:
            try:
                found = _do(wanted)
            except BaseException as error:  # noqa: BLE001 - the script decides
                wanted = script.throw(error)
            else:
                wanted = script.send(found)
    except StopIteration as over:
        return over.value  # type: ignore[no-any-return]


async def _await(wanted: Any) -> Any:
    if isinstance(wanted, list):
        return await asyncio.gather(*wanted)
    if isinstance(wanted, Pause):
        for _ in range(wanted.times):
            await asyncio.sleep(0)
        return None
    if wanted.together:
        return await asyncio.gather(*[wanted.graph.ainvoke(given, wanted.config) for given in wanted.given])
    return [await wanted.graph.ainvoke(given, wanted.config) for given in wanted.given]


def _do(wanted: Any) -> Any:
    if isinstance(wanted, list):
        return [future.result() for future in wanted]
    if isinstance(wanted, Pause):
        time.sleep(wanted.times * 0.0005)
        return None
    return [wanted.graph.invoke(given, wanted.config) for given in wanted.given]
