"""What the health port says while the store, or the broker, does not answer."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from langgraph_worker.domain.models import FleetFigures
from langgraph_worker.errors import StoreError
from langgraph_worker.runtime import health_probe
from langgraph_worker.runtime.health_probe import HealthProbe
from langgraph_worker.telemetry.health import Health
from langgraph_worker.telemetry.metrics import Metrics


class Parts:
    """A store and a broker, of which each may be away."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    async def fleet_figures(self) -> FleetFigures:
        self._ask()
        return FleetFigures(waiting={"g": 3}, running={"g": 2}, unpublished=1, paused=1)

    async def read(self) -> int:
        self._ask()
        return 7

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise StoreError("refused")

    def close(self) -> None:
        pass


async def test_a_figure_that_nobody_knows_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one that was known would pass for the present one, all night."""
    monkeypatch.setattr(health_probe, "_ASK_EVERY_SECONDS", 0.01)
    parts, metrics, health = Parts(), Metrics(["g"]), Health(60.0)
    store: Any = parts
    lag: Any = parts
    probe = asyncio.create_task(HealthProbe(health, metrics, store, lag).run())

    def values() -> list[float]:
        names = ("waiting", "running")
        found = [
            metrics.registry.get_sample_value(f"langgraph_worker_fleet_requests_{one}", {"graph": "g"}) for one in names
        ]
        further = ("fleet_results_unpublished", "fleet_paused_scopes", "fleet_events_lag")
        found += [metrics.registry.get_sample_value(f"langgraph_worker_{one}") for one in further]
        return [value for value in found if value is not None]

    async def asked_again() -> None:
        before = parts.asked
        async with asyncio.timeout(10):
            while parts.asked < before + 4:  # noqa: ASYNC110 - the probe has no event
                await asyncio.sleep(0.01)

    await asked_again()
    assert values() == [3, 2, 1, 1, 7]
    parts.away = True
    await asked_again()
    assert len(values()) == 5
    assert all(map(math.isnan, values()))
    parts.away = False
    await asked_again()
    assert values() == [3, 2, 1, 1, 7]
    probe.cancel()
    await asyncio.wait({probe})
