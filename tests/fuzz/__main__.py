"""``python -m tests.fuzz``: the long form, on SQLite, on PostgreSQL, and through a real Kafka."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from devtools.broker import Broker
from devtools.kafka import choose
from devtools.postgres import choose_postgres
from tests.fuzz.campaign import Tell, in_process, through_kafka
from tests.fuzz.wrong import Wrong


def main(arguments: list[str] | None = None) -> int:
    """Run all parts; 1 if something was not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="events through codec and acceptance, in process")
    parser.add_argument("--postgres", type=float, default=0.2, help="the part of each that is done on PostgreSQL")
    parser.add_argument("--through-kafka", type=int, default=10_000, help="further events through a worker")
    parser.add_argument("--wave", type=int, default=1_000, help="events that are sent to the worker at once")
    parser.add_argument("--seed", type=int, default=None, help="of all events; drawn if not given")
    parser.add_argument("--first", type=int, default=0, help="number of the first event")
    parser.add_argument("--failures", type=Path, default=Path(".cache/fuzz-failures"), help="folder for what fails")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    _say(f"seed {seed}")
    try:
        _run(given, seed)
    except Wrong as error:
        _say(f"seed {seed}: {error}")
        return 1
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _run(given: argparse.Namespace, seed: int) -> None:
    began = time.monotonic()

    def tell(text: str) -> None:
        _say(f"  {time.monotonic() - began:6.0f} s  {text}")

    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, ExitStack() as stack:
        folder = Path(name)
        os.environ |= {"AIRFLOW_HOME": name, "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}
        server = cache(lambda: stack.enter_context(choose_postgres()))

        def database() -> str:
            return server().create_database()

        _in_process(given, seed, folder, database, tell)
        if given.through_kafka:
            broker = stack.enter_context(choose())
            tell(broker.description)
            _through_kafka(given, seed, broker, folder, database, tell)


def _in_process(given: argparse.Namespace, seed: int, folder: Path, database: Callable[[], str], tell: Tell) -> None:
    on_postgres = int(given.events * given.postgres)
    first = given.first
    if count := given.events - on_postgres:
        url = f"sqlite:///{folder}/store.db"
        tell(f"SQLite: {asyncio.run(in_process(url, seed, count, given.failures, first=first, tell=tell))}")
        first += count
    if on_postgres:
        url = database()
        tell(f"PostgreSQL: {asyncio.run(in_process(url, seed, on_postgres, given.failures, first=first, tell=tell))}")


def _through_kafka(
    given: argparse.Namespace, seed: int, broker: Broker, folder: Path, database: Callable[[], str], tell: Tell
) -> None:
    on_postgres = int(given.through_kafka * given.postgres)
    first = given.first
    for store, count in (("SQLite", given.through_kafka - on_postgres), ("PostgreSQL", on_postgres)):
        if not count:
            continue
        settings: dict[str, str] = {"store_url": database()} if store == "PostgreSQL" else {}
        place = folder / store
        place.mkdir()
        figures = through_kafka(
            broker, place, seed, count, given.failures, first=first, wave=given.wave, tell=tell, **settings
        )
        tell(f"through Kafka, {store}: {figures}")
        first += count


if __name__ == "__main__":
    sys.exit(main())
