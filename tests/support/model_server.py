"""A server of models that counts its requests by a clock of its own: a ledger outside of the product."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from devtools.processes import wait_until


@dataclass
class ModelServer:
    """What it has seen.

    :ivar arrivals: when each request came, in seconds of a clock that never goes back.
    :ivar senders: how many came from each process.
    :ivar refuse: so many requests are answered 429, each with this ``Retry-After`` in seconds.
    """

    url: str = ""
    arrivals: list[float] = field(default_factory=list)
    senders: Counter[str] = field(default_factory=Counter)
    refuse: tuple[int, float] = (0, 0.0)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, sender: str) -> float | None:
        """Count a request; what its answer asks to wait, if it is refused."""
        with self.lock:
            self.arrivals.append(time.monotonic())
            self.senders[sender] += 1
            left, seconds = self.refuse
            self.refuse = (max(0, left - 1), seconds)
            return seconds if left else None

    def wait_for(self, count: int, timeout: float) -> None:
        wait_until(f"{count} requests", lambda: len(self.arrivals) >= count, timeout=timeout)


def most_within(arrivals: Sequence[float], seconds: float) -> int:
    """The most requests in any window of so many seconds, which need not begin with a request."""
    most = first = 0
    for last, at in enumerate(arrivals):
        while at - arrivals[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """A server on a free port."""
    state = ModelServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            refused = state.take(self.path.rpartition("/")[2])
            body = b"busy" if refused is not None else b"yes"
            self.send_response(200 if refused is None else 429)
            if refused is not None:
                self.send_header("Retry-After", f"{refused:g}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="model-server", daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
