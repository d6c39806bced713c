"""``python -m tests.random_graphs``: the long form, on SQLite and on PostgreSQL."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from devtools.postgres import choose_postgres
from tests.random_graphs.campaign import Campaign, Shrinker
from tests.random_graphs.case import WrongError
from tests.random_graphs.stores import postgres_stores, sqlite_stores

_AT_ONCE = 50  # graphs between two lines of figures


def main(arguments: list[str] | None = None) -> int:
    """Run both halves; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.random_graphs", description=__doc__)
    parser.add_argument("--graphs", type=int, default=1_300, help="how many, on each store")
    parser.add_argument("--seed", type=int, default=None, help="of all graphs and kills; drawn if not given")
    parser.add_argument("--first", type=int, default=0, help="number of the first graph")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="most, on each store")
    parser.add_argument("--store", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--shrink", type=float, default=120, help="most seconds to look for a smaller graph")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(2**32) if given.seed is None else given.seed
    _say(f"seed {seed}")
    stores = ["sqlite", "postgres"] if given.store == "both" else [given.store]
    return max(_run(store, seed, given) for store in stores)


def _run(kind: str, seed: int, given: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="random-graphs-") as name, ExitStack() as stack:
        folder = Path(name)
        if kind == "sqlite":
            stores = stack.enter_context(sqlite_stores(folder))
        else:
            server = stack.enter_context(choose_postgres())
            stores = stack.enter_context(postgres_stores(server.create_database("graphs")))
        campaign = Campaign(folder, stores, seed)
        until = time.monotonic() + given.seconds
        try:
            for first in range(given.first, given.first + given.graphs, _AT_ONCE):
                if time.monotonic() < until:
                    campaign.run(first, min(_AT_ONCE, given.first + given.graphs - first))
                    _say(f"  {kind}: {campaign.summary()}")
        except WrongError as error:
            _say(f"{kind}, seed {seed}: {error}")
            if given.shrink and error.case is not None:
                _say(f"smaller: {Shrinker(folder, stores, given.shrink).smallest(error.case)}")
            return 1
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
