"""``python -m tests.storm``, the long form: consumers, a fleet, a lone worker, by each protocol of the group."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import uuid
from pathlib import Path

from devtools.apache_kafka import ApacheKafka
from tests.storm import fleet_storm, group_storm, lone_storm
from tests.support.kafka import KafkaTopics

_WHOLE = {"fleet": fleet_storm.storm, "lone": lone_storm.storm}
_KINDS = ("group", *_WHOLE)


def main() -> int:
    """Run what is asked for; 1 if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of load and changes; drawn, and printed, if not given")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long each storm lasts, without its calm")
    parser.add_argument("--kind", choices=_KINDS, default=None, help="all if not given")
    parser.add_argument("--protocol", choices=[*group_storm.PROTOCOLS], default=None, help="both if not given")
    parser.add_argument("--folder", type=Path, default=None, help="for logs and ledgers; removed again if not given")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    broken = 0
    for protocol in [given.protocol] if given.protocol else group_storm.PROTOCOLS:
        for kind in [given.kind] if given.kind else _KINDS:
            _say(f"storm: {kind}, {protocol}, seed {seed}, {given.seconds:.0f} s")
            if kind == "group":
                broken += _group(protocol, seed, given.seconds)
            else:
                with tempfile.TemporaryDirectory(prefix="storm-") as folder:
                    place = (given.folder or Path(folder)) / f"{kind}-{protocol}"
                    place.mkdir(parents=True)
                    broken += len(_WHOLE[kind](seed, given.seconds, protocol, place, _say))
    _say(f"storm: seed {seed}: {broken} violations")
    return 1 if broken else 0


def _group(protocol: str, seed: int, seconds: float) -> int:
    with ApacheKafka() as broker:
        kafka = KafkaTopics(broker, f"storm{uuid.uuid4().hex[:8]}")
        kafka.create_fleet()
        storm = group_storm.GroupStorm(kafka, protocol, seed)
        asyncio.run(storm.run(seconds))
    _say(f"  {storm.summary()}")
    for violation in storm.violations:
        _say(f"VIOLATED: {violation}")
    return len(storm.violations)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
