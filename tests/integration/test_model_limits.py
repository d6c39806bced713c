"""A fleet keeps to what a provider allows of a model, by the clock of a server that counts for itself.

``MODEL_LIMIT_MINUTES=4`` (``make test-model-limits``) lets three workers share 60 requests a minute for so long.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
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
LIMITED = GRAPHS / "metered" / "langgraph.json"
MINUTE = 60.0
WINDOW_SECONDS = 62.0
QUIET_SECONDS = 20.0  # between two bursts at least

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


def bursts_in(arrivals: Sequence[float]) -> list[list[float]]:
    """Arrivals that come together. Turns that are given at once come back at once, one window later."""
    found: list[list[float]] = []
    for before, at in itertools.pairwise([float("-inf"), *arrivals]):
        if at - before > QUIET_SECONDS:
            found.append([])
        found[-1].append(at)
    return found


@pytest.mark.skipif(not MINUTES, reason="takes minutes: make test-model-limits")
def test_three_workers_share_sixty_requests_a_minute(broker, tmp_path, postgres_url, server):
    with fleet_of(broker, tmp_path, 3, store_url=postgres_url, lease_seconds=10) as (desk, workers):
        number = int(45 * MINUTES) + 60
        ask(desk, server, "sixty", number)
        ask(desk, server, "sixty", number, "blocks")
        server.wait_for(80, timeout=150)
        victim = workers[1].child
        assert victim is not None
        victim.kill()
        workers[1].launch()
        end = server.arrivals[0] + MINUTES * WINDOW_SECONDS + QUIET_SECONDS
        wait_until("the minutes to pass", lambda: time.monotonic() > end, timeout=MINUTES * 90)
        arrivals = list(server.arrivals)
    bursts = bursts_in(arrivals)
    begins, spans = [burst[0] - arrivals[0] for burst in bursts], [burst[-1] - burst[0] for burst in bursts]
    took = begins[-1]
    reached = sum(map(len, bursts[1:])) / took
    sys.stdout.write(
        f"\n{len(arrivals)} requests; most in any 60 s: {most_within(arrivals, MINUTE)}; "
        f"{reached * 60:.1f} a minute, {reached * 100:.1f} % of the limit; bursts: {list(map(len, bursts))} at "
        f"{[round(at, 2) for at in begins]} s, each within {[round(span, 2) for span in spans]} s; "
        f"by process: {sorted(server.senders.values())}; "
        f"runs that gave their place back: {len(lines(workers, '] goes on in '))}, "
        f"calls that were too late: {len(lines(workers, '[turn_missed]'))}\n"
    )
    assert most_within(arrivals, MINUTE) <= 60
    assert len(bursts) >= MINUTES
