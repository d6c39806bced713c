"""``python -m tests.chaos``: the proof in its long form. The exit code tells whether it held."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.plan import long_form, short_form
from tests.chaos.trial import print_line, prove


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="requests that are to run")
    parser.add_argument(
        "--seed", type=int, default=None, help="of load and faults; drawn, and printed, if it is not given"
    )
    parser.add_argument("--minutes", type=float, default=28.0, help="how long, about; the whole takes two more at most")
    parser.add_argument("--short", action="store_true", help="the form that CI runs")
    parser.add_argument("--folder", type=Path, default=None, help="for logs and ledgers; removed again if not given")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    plan = short_form(seed) if given.short else long_form(seed, given.runs, given.minutes)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        try:
            violations = prove(plan, given.folder or Path(folder))
        except BaseException:
            print_line(f"chaos: seed {seed}: broke off")
            raise
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
