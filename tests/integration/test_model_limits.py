"""A fleet keeps to what a provider allows of a model, by the clock of a server that counts for itself.

``MODEL_LIMIT_MINUTES=4`` (``make test-model-limits``) lets three workers share 60 requests a minute for so long.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from devtools.broker import Broker
from devtools.processes import wait_until
from devtools.worker import Worker
from tests.support.model_server import ModelServer, model_server, most_within
from tests.support.worker import GRAPHS, Desk, desk_of, settings
from workflow_events import ResultStatus

MINUTES = float(os.environ.get("MODEL_LIMIT_MINUTES") or 0)
LIMITED = GRAPHS / "limited" / "langgraph.json"
MINUTE = 60.0

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120 + MINUTES * 90)]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@contextmanager
def fleet_of(broker: Broker, folder: Path, workers: int, **env: Any) -> Iterator[tuple[Desk, list[Worker]]]:
    """Workers of one group and one store, running."""
    quick = {"default_graph": "asks", "lease_seconds": 3, "renew_seconds": 0.5, "concurrency": 30, **env}
    with ExitStack() as stack:
        desk = stack.enter_context(desk_of(broker, folder, LIMITED, worker_id="w0", **quick))
        stack.enter_context(desk.worker)
        every = [desk.worker]
        for number in range(1, workers):
            own = settings(create_topics="false", worker_id=f"w{number}", **quick)
            own["KAFKA_CONFIG"] = desk.worker.environment["KAFKA_CONFIG"]
            place = folder / f"w{number}"
            place.mkdir()
            every.append(stack.enter_context(Worker(broker, LIMITED, place, fleet=desk.kafka.prefix, env=own)))
        yield desk, every


def ask(desk: Desk, server: ModelServer, model: str, number: int, graph: str = "asks") -> list[Any]:
    return [desk.ask(graph, {"url": server.url, "model": model}) for _ in range(number)]


def lines(workers: list[Worker], text: str) -> list[str]:
    found = [line for worker in workers if worker.child for line in worker.child.output().splitlines()]
    return [line for line in found if text in line]


def test_a_fleet_shares_a_limit_over_a_kill(broker, tmp_path, postgres_url, server):
    with fleet_of(broker, tmp_path, 3, store_url=postgres_url) as (desk, workers):
        ask(desk, server, "twenty", 15)
        ask(desk, server, "twenty", 15, "blocks")
        server.wait_for(5, timeout=30)
        victim = workers[0].child
        assert victim is not None
        victim.kill()
        wait_until(
            "the others to have all that is left of this minute, and to let the rest wait without a slot",
            lambda: len(server.arrivals) >= 5 and len(lines(workers[1:], "] goes on in ")) >= 10,
            timeout=30,
        )
        ask(desk, server, "sixty", 1)  # slots are free, and another model is not held back
        count = len(server.arrivals)
        server.wait_for(count + 1, timeout=20)
    # What the killed worker was given and did not send counts all the same.
    assert len(server.arrivals) - 1 <= 20


@pytest.mark.parametrize("graph", ["asks", "blocks"])
def test_a_limit_holds_over_a_kill_on_sqlite_and_all_are_answered(broker, tmp_path, server, graph):
    with fleet_of(broker, tmp_path, 1) as (desk, _):
        events = ask(desk, server, "three", 3, graph)
        for event in events:
            assert desk.answer(event).status is ResultStatus.SUCCESS
        (late,) = ask(desk, server, "three", 1, graph)
        desk.logged("goes on in")
        assert desk.worker.child is not None
        desk.worker.child.kill()
        desk.worker.launch()
        desk.worker.wait_ready()
        server.wait_for(4, timeout=75)
        result = desk.answer(late)
        assert (result.status, result.attempts) == (ResultStatus.SUCCESS, 2)
    assert len(server.arrivals) == 4
    assert most_within(server.arrivals, MINUTE) == 3


def test_a_429_holds_back_the_calls_of_every_worker(broker, tmp_path, postgres_url, server):
    """No limit is configured for this model."""
    server.refuse = (1, 6.0)
    with fleet_of(broker, tmp_path, 2, store_url=postgres_url) as (desk, workers):
        (first,) = ask(desk, server, "any", 1)
        wait_until("the run to back off", lambda: lines(workers, "[backs_off]"), timeout=20)
        others = ask(desk, server, "any", 8)
        for event in [first, *others]:
            assert desk.answer(event).status is ResultStatus.SUCCESS
    assert len(server.arrivals) == 10
    assert server.arrivals[1] - server.arrivals[0] >= 6.0


def by_five_seconds(arrivals: list[float]) -> dict[int, int]:
    return dict(Counter(int((at - arrivals[0]) // 5) * 5 for at in arrivals))


@pytest.mark.skipif(not MINUTES, reason="takes minutes: make test-model-limits")
def test_three_workers_share_sixty_requests_a_minute(broker, tmp_path, postgres_url, server):
    with fleet_of(broker, tmp_path, 3, store_url=postgres_url, lease_seconds=10) as (desk, workers):
        wanted = int(60 * MINUTES)
        half = wanted + 30
        events = ask(desk, server, "sixty", half)
        events += ask(desk, server, "sixty", half, "blocks")
        server.wait_for(80, timeout=150)
        victim = workers[1].child
        assert victim is not None
        victim.kill()
        workers[1].launch()
        server.wait_for(wanted, timeout=MINUTES * 90)
        arrivals = server.arrivals[:wanted]
    took = arrivals[-1] - arrivals[0]
    most = most_within(server.arrivals, MINUTE)
    windows = json.dumps([most_within(server.arrivals, MINUTE / part) for part in (1, 2, 4)])
    # The first 60 come at once: what follows them is what the limit lets through.
    reached = (wanted - 60) / took
    sys.stdout.write(
        f"\n{wanted} requests in {took:.1f} s; most in any 60 s: {most} (30 s, 15 s: {windows}); "
        f"beyond the first 60: {reached * 60:.1f} a minute, {reached * 100:.1f} % of the limit; runs that gave their "
        f"place back: {len(lines(workers, '] goes on in '))}; by process: {sorted(server.senders.values())}; "
        f"too late: {len(lines(workers, '[turn_missed]'))}; started again: {len(lines(workers, ', start 2 of'))}; "
        f"every 5 s: {by_five_seconds(server.arrivals)}\n"
    )
    assert most <= 60
    assert len(events) == 2 * half
