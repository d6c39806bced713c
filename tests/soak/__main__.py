"""``python -m tests.soak``: mixed load for as long as one likes. The exit code says whether all was as it should be."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import get_args

from tests.soak.plan import Store, long_form, short_form
from tests.soak.trial import print_line, soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of load; start and end take about two more")
    parser.add_argument("--seed", type=int, default=None, help="of the load; drawn, and printed, if it is not given")
    parser.add_argument("--store", choices=get_args(Store), default="postgresql", help="with sqlite: one worker")
    parser.add_argument("--per-second", type=float, default=3.0, help="requests; at most half of what is possible")
    parser.add_argument("--leak-bytes", type=int, default=0, help="for each quick run: the soak has to find this leak")
    parser.add_argument("--short", action="store_true", help="the form that CI runs")
    parser.add_argument("--folder", type=Path, default=None, help="for logs and ledgers; removed again if not given")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    plan = long_form(seed, given.minutes, given.store, given.per_second, given.leak_bytes)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        if given.folder is not None:
            given.folder.mkdir(parents=True)
        try:
            wrong = soak(short_form(seed) if given.short else plan, given.folder or Path(folder))
        except BaseException:
            print_line(f"soak: seed {seed}: broke off")
            raise
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
