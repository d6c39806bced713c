"""Node caches (``compile(cache=...)`` with a ``cache_policy``), as a worker may use them.

LangGraph finds what a node returned by the node's input alone: for every run, thread and user of every graph that has
the same cache object. A worker runs one graph for all of them, so it adds what LangGraph leaves out.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from langgraph.cache.base import BaseCache, FullKey
from langgraph.pregel._loop import PregelLoop

from langgraph_worker.execution.run_values import RunValues

logger = logging.getLogger(__name__)

CACHE_SECONDS = 5.0
"""How long a run waits for a cache."""


@dataclass(frozen=True, slots=True)
class CacheScope:
    """What a run may find in a cache, and leave there.

    :param values: such as its model and its context. A node may read them, and they are not in its input.
    :param is_answered: a person has answered a question of this logical run. Its nodes use no cache: what a person
        decided for one run is not in a node's input either, and must decide no other; and a run must not pass its
        answer by because another one was not asked.
    :param refused_tasks: in which a call of a model was refused; it may grow. Once there is one, nothing is left there.
    """

    graph: str
    values: RunValues
    is_answered: bool
    refused_tasks: Collection[str] = ()

    def key(self) -> str:
        """Part of every key: equal for equal graphs and values."""
        chosen = json.dumps([self.graph, self.values.as_json()])
        return hashlib.sha256(chosen.encode()).hexdigest()[:32]


_scope: ContextVar[CacheScope | None] = ContextVar("langgraph_worker_cache_scope", default=None)


@contextlib.contextmanager
def caching_in(scope: CacheScope) -> Iterator[None]:
    """Graphs that start in this block, at every depth, use their caches within this scope."""
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)


class GuardedCache:
    """A cache as one execution of a graph sees it. If it fails or does not answer, the execution goes on without it."""

    def __init__(self, cache: BaseCache[Any], scope: CacheScope) -> None:
        self._cache = cache
        self._graph = scope.graph
        self._key = scope.key()
        self._is_off = scope.is_answered
        self._refused_tasks = scope.refused_tasks

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """See ``BaseCache``."""
        if self._is_off:
            return {}
        scoped = self._scoped(keys)
        with self._going_on():
            return _unscoped(scoped, self._cache.get(tuple(scoped)))
        return {}

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Any]:
        """See ``BaseCache``."""
        if self._is_off:
            return {}
        scoped = self._scoped(keys)
        with self._going_on():
            async with asyncio.timeout(CACHE_SECONDS):
                return _unscoped(scoped, await self._cache.aget(tuple(scoped)))
        return {}

    def set(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """See ``BaseCache``."""
        if not self._is_off and not self._refused_tasks:
            with self._going_on():
                self._cache.set({self._scoped_key(key): value for key, value in pairs.items()})

    async def aset(self, pairs: Mapping[FullKey, tuple[Any, int | None]]) -> None:
        """See ``BaseCache``."""
        if not self._is_off and not self._refused_tasks:
            with self._going_on():
                async with asyncio.timeout(CACHE_SECONDS):
                    await self._cache.aset({self._scoped_key(key): value for key, value in pairs.items()})

    def _scoped(self, keys: Sequence[FullKey]) -> dict[FullKey, FullKey]:
        return {self._scoped_key(key): key for key in keys}

    def _scoped_key(self, key: FullKey) -> FullKey:
        namespace, digest = key  # the namespace stays: LangGraph's clear_cache names it
        return namespace, f"{digest}-{self._key}"

    @contextlib.contextmanager
    def _going_on(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - any backend, any serializer
            self._is_off = True
            logger.warning(
                "graph %s: its cache (%s) failed, and this run goes on without it, as if nothing was cached: %s: %s",
                self._graph,
                type(self._cache).__name__,
                type(error).__name__,
                str(error) or f"no answer within {CACHE_SECONDS:g} s",
                extra={"action": "cache_failed"},
            )


def _unscoped(scoped: Mapping[FullKey, FullKey], found: Mapping[FullKey, Any]) -> dict[FullKey, Any]:
    return {scoped[key]: value for key, value in found.items() if key in scoped}


def guard_node_caches() -> None:
    """Let every loop of LangGraph that runs in a scope have its cache guarded. Calling twice is harmless."""
    PregelLoop.cache = property(_cache_of, _guard)  # type: ignore[assignment]


def _cache_of(loop: PregelLoop) -> BaseCache[Any] | GuardedCache | None:
    cache: BaseCache[Any] | GuardedCache | None = loop.__dict__["cache"]
    return cache


def _guard(loop: PregelLoop, cache: BaseCache[Any] | None) -> None:
    scope = _scope.get()
    loop.__dict__["cache"] = cache if cache is None or scope is None else GuardedCache(cache, scope)
