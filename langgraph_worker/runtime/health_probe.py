"""Asks, every few seconds, what the health port answers: only where there is a port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from langgraph_worker.broker.kafka.events_lag import EventsLag
from langgraph_worker.store.port import RunStore
from langgraph_worker.telemetry.health import Health, Part
from langgraph_worker.telemetry.metrics import Metrics
from workflow_events.plain_text import one_line

_BEAT_SECONDS = 1.0
_ASK_EVERY_SECONDS = 5.0


class HealthProbe:
    """Asks store and cluster how much is under way."""

    def __init__(self, health: Health, metrics: Metrics, store: RunStore, lag: EventsLag) -> None:
        self._health = health
        self._metrics = metrics
        self._store = store
        self._lag = lag

    async def run(self) -> None:
        """Ask until cancelled. A part that does not answer delays no other, and ends no worker."""
        try:
            await asyncio.gather(self._ask("store", self._ask_store), self._ask("broker", self._ask_broker))
        finally:
            self._lag.close()

    async def _ask(self, part: Part, ask: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await ask()
            except Exception as error:  # noqa: BLE001 - whatever it is, the part did not answer
                self._health.failed(part, one_line(str(error) or repr(error)))
                self._metrics.forget(part)
            else:
                self._health.answered(part)
            await asyncio.sleep(_ASK_EVERY_SECONDS)

    async def _ask_store(self) -> None:
        self._metrics.set_fleet(await self._store.fleet_figures())

    async def _ask_broker(self) -> None:
        self._metrics.set_lag(await self._lag.read())


async def beat(health: Health) -> None:
    """Give the event loop's signs of life until cancelled."""
    while True:
        health.beat()
        await asyncio.sleep(_BEAT_SECONDS)
