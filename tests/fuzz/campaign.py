"""Both parts of a fuzz: many events through codec and acceptance in this process, some of them through a worker."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devtools.broker import Broker
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.fuzz.kafka_campaign import through
from tests.fuzz.memory_growth import Memory
from tests.fuzz.mutator import Mutator, save
from tests.fuzz.world import World
from tests.fuzz.wrong import Wrong
from tests.support.run_store import Clock

BATCH = 100
STEERED = 25
"""Control messages for each batch of events."""

GROWTH_MIB = 32.0
"""MiB that a process may grow by once it is warm: the allocator's noise, where a leak of 1 KB an event would be 100."""

Tell = Callable[[str], None]


def silent(text: str) -> None:
    """For tests."""


async def in_process(
    url: str, seed: int, events: int, failures: Path, *, first: int = 0, tell: Tell = silent
) -> dict[str, Any]:
    """Screen, accept and judge events on a store, and as many replies on Airflow's side; the figures.

    :param url: an empty store.
    :param failures: folder that gets what fails.
    :raises Wrong: the first thing that is not as it must be; names the file that repeats it.
    """
    from tests.fuzz.airflow_side import AirflowSide  # Airflow reads its environment as it is imported

    clock = Clock()
    clock.now = datetime.now(UTC)
    store = SqlRunStore(url, now=clock)
    await store.open()
    world, airflow, mutator, memory = World(store, clock), AirflowSide(), Mutator(seed), Memory()
    gc.freeze()  # what was imported need not be looked through after each batch
    try:
        for number in range(first, first + events, BATCH):
            count = min(BATCH, first + events - number)
            with _saving(mutator, number, count, failures), _quiet():
                airflow.take([mutator.reply(one) for one in range(number, number + count)])
                steered = range(number // BATCH * STEERED, (number // BATCH + 1) * STEERED)
                await world.take(
                    [mutator.event(one) for one in range(number, number + count)],
                    [mutator.steering(one, number) for one in steered],
                )
            gc.collect()
            memory.look()
            if number % 10_000 == 0:
                tell(f"{number:,} events, {memory.seen[-1] / 2**20:.0f} MiB")
        kept = await world.count()
    finally:
        gc.unfreeze()
        await store.close()
    require_flat(memory, "this process")
    return {
        "events": events,
        "became": dict(world.became),
        "replies became": dict(airflow.became),
        "rows kept": kept,
        "slowest screening, ms": round(world.slowest * 1000, 1),
        "growth, MiB": round(memory.growth, 1),
        "peak, MiB": round(memory.peak, 1),
    }


def through_kafka(
    broker: Broker,
    folder: Path,
    seed: int,
    events: int,
    failures: Path,
    *,
    wave: int,
    first: int = 0,
    tell: Tell = silent,
    **settings: Any,
) -> dict[str, Any]:
    """Send events and control messages to a worker, wave by wave, and judge what comes; the figures.

    :param settings: of the worker.
    :raises Wrong: the first thing that is not as it must be; names the file that repeats it.
    """
    with through(broker, folder, seed, **settings) as way:
        for number in range(first, first + events, wave):
            count = min(wave, first + events - number)
            with _saving(way.mutator, number, count, failures, kafka=True):
                way.wave(number, count, STEERED * 2)
            tell(f"{number + count:,} events through Kafka, the worker has {way.memory.seen[-1] / 2**20:.0f} MiB")
        with _saving(way.mutator, first, events, failures, kafka=True):
            way.judge_all()
            way.judge_cancel()
            way.judge_reader(min(events, 500))
        require_flat(way.memory, "the worker")
        return way.figures()


def require_flat(memory: Memory, what: str) -> None:
    """:raises Wrong: it grew, and by how much."""
    if memory.growth > GROWTH_MIB:
        looks = ", ".join(f"{look / 2**20:.0f}" for look in memory.seen)
        raise Wrong(f"{what} grew by {memory.growth:.0f} MiB; it had {looks} MiB")


@contextmanager
def _saving(mutator: Mutator, first: int, count: int, failures: Path, kafka: bool = False) -> Iterator[None]:
    """Keep the events and say how to repeat them, whatever goes wrong with them."""
    again = f"--events 0 --through-kafka {count}" if kafka else f"--events {count} --through-kafka 0"
    try:
        yield
    except Exception as error:
        failures.mkdir(parents=True, exist_ok=True)
        path = failures / f"fuzz-{mutator.seed}-{first}.jsonl"
        numbers = range(first, first + count)
        save([*map(mutator.event, numbers), *(() if kafka else map(mutator.reply, numbers))], path)
        kind = "" if isinstance(error, Wrong) else f"{type(error).__name__}: "
        raise Wrong(
            f"{kind}{error}\nThe events are in {path}. Repeat them: python -m tests.fuzz --seed {mutator.seed} "
            f"--first {first} {again}"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Refusals are logged one by one, as they must be; here they would be all that one sees."""
    loggers = [
        logging.getLogger(name)
        for name in ("langgraph_worker.control.control_messages", "langgraph_worker.publishing.dead_letters")
    ]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was in zip(loggers, before, strict=True):
            logger.disabled = was
