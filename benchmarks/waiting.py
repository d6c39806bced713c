"""The cost of waiting: our trigger with its one listener, and the official ``AwaitMessageTrigger``.

Triggers run as in a triggerer, many in one event loop. Each line of a table is measured in a process of its own, and
another process replies. The time from reply to event begins before the producer gets the reply, and includes a real
broker.

Run it alone: ``make bench-waiting``. It needs an Apache Kafka (:mod:`devtools.kafka`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.replies import LARGE_ANSWER, PARTITIONS
from benchmarks.waiting_points import Bench, Drained, Live
from devtools.kafka import choose

COUNTS = (1, 10, 100, 1_000, 10_000)
FEW = 100
"""Waiters. The memory of fewer is less than the variation of a process's memory."""
ROUNDS = {1: 20, 10: 10, 100: 3}
"""Rounds by number of waiters: more rounds give more replies to time."""

LIVE = (
    f"{'waiters':>8} {'RSS MiB':>8} {'KiB each':>9} {'threads':>8} {'full GC ms':>11} {'ready s':>8}"
    f" {'reply to event ms':>18} {'served':>14} {'late at start':>14} {'at replies':>11}"
)
DRAINED = (
    f"{'waiters':>8} {'served':>8} {'seconds':>8} {'replies/s':>10} {'in the burst':>13} {'CPU us each':>12}"
    f" {'loop late':>11}"
)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def took(one: Live) -> str:
    """The time from reply to event in milliseconds: median, and 99th percentile."""
    return f"{percentile(one.took, 0.5):8.2f} {percentile(one.took, 0.99):9.2f}"


def live_line(one: Live, alone: Live) -> str:
    """A line of the first table; ``alone`` is the one with a single waiter."""
    each = f"{(one.rss - alone.rss) / (one.count - 1) / 1024:.1f}" if one.count >= FEW and one.ready else ""
    ready = f"{statistics.median(one.ready):.2f}" if one.ready else "never"
    start, replies = (str(max(lags)) if lags else "" for lags in (one.starting, one.serving))
    line = (
        f"{one.count:8,} {one.rss / 2**20:8.0f} {each:>9} {one.threads:8} {one.collection:11.0f} {ready:>8} {took(one)}"
        f" {one.served:6,}/{one.asked:<7,} {start:>14} {replies:>11}"
    )
    return f"{line}  {one.stopped}".rstrip()


def drained_line(one: Drained, count: int) -> str:
    """A line of a table of replies that were there already."""
    if one.served == 0:
        return f"{count:8,} {0:8,}"
    burst = f"{one.served / one.burst:13,.0f}" if one.burst > 0 else f"{'':13}"
    return (
        f"{count:8,} {one.served:8,} {one.seconds:8.2f} {one.served / one.seconds:10,.0f} {burst}"
        f" {one.cpu / one.served * 1e6:12.0f} {one.lag!s:>11}"
    )


def foreign_line(way: str, count: int, one: Drained, none: Drained) -> str:
    """A line about the cost of replies to others; ``none`` is the same without them."""
    seconds, cpu = one.seconds - none.seconds, one.cpu - none.cpu
    return f"{way:<50} {count:9,} in {seconds:7.2f} s: {count / seconds:11,.1f}/s, CPU {cpu / count * 1e6:8.1f} us each"


def measure_ours(bench: Bench, counts: Sequence[int], foreign: int) -> None:
    """The tables of our trigger."""
    bare = bench.live("none", 1_000)
    print(f"\nA bare consumer, for comparison: reply seen after {took(bare)} ms (p50, p99)")
    print("\nOurs: the triggers wait, then their replies come")
    print(LIVE)
    lines: list[Live] = []
    for count in counts:
        lines.append(bench.live("ours", count, ROUNDS.get(count, 1)))
        print(live_line(lines[-1], lines[0]), flush=True)
    most = max(counts)
    least = (bench.idle(most) - bench.idle(1)) / max(1, most - 1) / 1024
    print(f"{least:.1f} KiB of them are Airflow's and Python's: triggers with these arguments that only await a future")
    print(f"\nThe listener alone: no triggers, only the futures that it hands out\n{LIVE}")
    alone = bench.live("listener", 1)
    print(live_line(bench.live("listener", most), alone))
    print(f"{DRAINED}\n{drained_line(bench.backlog(most, kind='listener'), most)}", flush=True)
    print("\nOurs: the triggers wait; their process stands still while the topic is filled, then goes on")
    print(DRAINED)
    for count in counts:
        print(drained_line(bench.backlog(count), count), flush=True)
    print("\nOurs: the same with replies of 900,000 bytes each, none of them ASCII")
    print(f"{DRAINED}\n{drained_line(bench.backlog(FEW, answer=LARGE_ANSWER), FEW)}", flush=True)
    print("\nOurs: the topic is filled, then the triggers start")
    print(DRAINED)
    for count in counts:
        print(drained_line(bench.late("ours", count), count), flush=True)
    print("\nOurs: replies to others before those that are waited for, one in each partition")
    few = PARTITIONS
    backlog, none = bench.backlog(few, foreign, few), bench.backlog(few, 0, few)
    print(foreign_line("that came while the process stood still", foreign, backlog, none))
    late, none = bench.late("ours", few, foreign, few), bench.late("ours", few, 0, few)
    print(foreign_line("that triggers which start have to read back", foreign, late, none))
    print(f"{'loop late meanwhile':<50} {backlog.lag!s:>9} and {late.lag}", flush=True)


def measure_official(bench: Bench, counts: Sequence[int], seconds: float) -> None:
    """The same tables of the official trigger, as far as it gets in so many seconds for each line."""
    print(f"\nAwaitMessageTrigger, each with a consumer group of its own, at most {seconds:.0f} s for each step:")
    print(f"the triggers wait, then their replies come\n{LIVE}")
    lines: list[Live] = []
    for count in counts:
        lines.append(bench.live("official", count, seconds=seconds))
        print(live_line(lines[-1], lines[0]), flush=True)
        if lines[-1].asked == 0:
            print("more were not tried")
            break
    print(f"\nThe same: the topic is filled, then the triggers start\n{DRAINED}")
    for count in (one.count for one in lines if not one.stopped):
        print(drained_line(bench.late("official", count, seconds=seconds), count), flush=True)
    shared = bench.live("shared", 10, seconds=seconds)
    print(f"\nThe same, 10 on one connection, so in one group: {shared.served} had their reply after {seconds:.0f} s")
    for interval, foreign in ((5.0, 5), (0.0, 200)):
        one, none = (bench.late("official", 1, n, 1, seconds=seconds, poll_interval=interval) for n in (foreign, 0))
        way = f"Replies to others, poll_interval={interval:g}" + (" (its default)" if interval else "")
        print(
            foreign_line(way, foreign, one, none) if one.served else f"{way}: {foreign} took more than {seconds:.0f} s"
        )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="triggers that wait at once")
    parser.add_argument("--foreign", type=int, default=300_000, help="replies to others")
    parser.add_argument("--seconds", type=float, default=60, help="for each line of the official trigger")
    arguments = parser.parse_args()
    with choose() as broker, tempfile.TemporaryDirectory() as folder:
        bench = Bench(broker, Path(folder))
        print(f"{broker.description}; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
        print(
            "How late the event loop was at worst, in ms; in brackets the longest pause of Python's garbage collector"
        )
        measure_ours(bench, arguments.counts, arguments.foreign)
        measure_official(bench, arguments.counts, arguments.seconds)
        print("\nThe first trigger of a process, with all that it loads; medians")
        for kind in ("ours", "official"):
            first = [(seconds, lag) for whose, seconds, lag in bench.first_use if whose == kind]
            took, late = (
                statistics.median(seconds for seconds, _ in first),
                statistics.median_low(lag for _, lag in first),
            )
            print(f"{kind:<9} {took:.2f} s to its event; the loop was late by {late}")


if __name__ == "__main__":
    main()
