"""What traces cost: runs per second of the worker on PostgreSQL, and its CPU time, with OTLP off and on, in turns.

Run it alone: ``python -m benchmarks.traces``. It needs a PostgreSQL (:mod:`devtools.postgres`). The receiver is a
process of its own, on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.runs import CONCURRENCY, Spent, worker
from devtools.postgres import choose_postgres
from langgraph_worker.telemetry.traces.make_tracing import make_tracing, trace_targets

_RECEIVE = "receive"


class _Sink(BaseHTTPRequestHandler):
    """Takes everything, and keeps nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _receive() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def _receiver() -> Iterator[int]:
    child = subprocess.Popen([sys.executable, "-m", __spec__.name, _RECEIVE], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        yield int(child.stdout.readline())
    finally:
        child.terminate()
        child.wait()


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("role", nargs="?", choices=(_RECEIVE,))
    arguments = parser.parse_args()
    if arguments.role == _RECEIVE:
        _receive()
        return
    rates: dict[str, list[float]] = {"off": [], "on": []}
    busy: dict[str, list[float]] = {"off": [], "on": []}
    with choose_postgres() as server, _receiver() as port:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{port}"
        for number in range(arguments.rounds + 1):
            for name, found in rates.items():
                tracing = make_tracing(trace_targets(), "bench", exception_texts=True) if name == "on" else None
                began = time.process_time()
                seconds = asyncio.run(worker(server.create_database("bench"), arguments.runs, Spent(), tracing))
                if tracing is not None:
                    tracing.close()
                if number:  # the first round warms up
                    found.append(arguments.runs / seconds)
                    busy[name].append((time.process_time() - began) / arguments.runs * 1_000)
    print(f"{arguments.runs} runs of a 3-node no-op graph, {CONCURRENCY} at once, {arguments.rounds} rounds in turns")
    for name, found in rates.items():
        shown = f"({min(found):.0f} to {max(found):.0f})"
        cpu = statistics.median(busy[name])
        print(f"OTLP {name:<4} {statistics.median(found):6.0f} runs/s   {shown}   {cpu:.2f} ms of CPU a run")
    print(f"on/off: {statistics.median(rates['on']) / statistics.median(rates['off']):.3f}")


if __name__ == "__main__":
    main()
