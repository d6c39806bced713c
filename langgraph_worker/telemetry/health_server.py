"""The port on which a worker answers how it is: ``/livez``, ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import json
import logging
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client.exposition import choose_encoder

from langgraph_worker.errors import SettingsError
from langgraph_worker.settings.model import env_name
from langgraph_worker.telemetry.health import Health, Verdict
from langgraph_worker.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

THREAD = "health"
"""How the names of its threads begin."""

_READ_SECONDS = 5.0  # for one request to arrive
_MOST_REQUESTS = 16  # at once; others are refused

_PATHS = ("/livez", "/healthz", "/readyz", "/metrics")


class HealthServer:
    """Answers in threads of its own, so that it answers while the event loop hangs.

    :param port: 0: a free one.
    :raises SettingsError: the port cannot be used.
    """

    def __init__(self, host: str, port: int, health: Health, metrics: Metrics) -> None:
        try:
            self._server = _Server((host, port), health, metrics)
        except OSError as error:
            raise SettingsError(
                f"{env_name('health_port')}: {host}:{port} cannot be used: {error.strerror or error}. Choose another "
                f"port, or correct {env_name('health_host')}; each worker of a host needs a port of its own"
            ) from None
        self.address = f"{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name=THREAD, daemon=True)
        self._thread.start()
        logger.info("health and figures at http://%s (%s)", self.address, ", ".join(_PATHS), extra={"action": "health"})

    def close(self) -> None:
        """Answer no more. Requests that are being answered end with the process."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], health: Health, metrics: Metrics) -> None:
        self.health = health
        self.metrics = metrics
        self._room = threading.Semaphore(_MOST_REQUESTS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there is room: clients that send nothing must not fill the process with threads."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error."""
        logger.debug("a client of the health port has left", extra={"action": "health"})


class _Handler(BaseHTTPRequestHandler):
    timeout = _READ_SECONDS
    server: _Server
    server_version, sys_version = "langgraph-worker", ""

    def do_GET(self) -> None:
        path, health = self.path.partition("?")[0], self.server.health
        match path:
            case "/livez":
                self._answer(health.alive())
            case "/healthz":
                self._answer(health.healthy())
            case "/readyz":
                self._answer(health.ready())
            case "/metrics":
                self._write_metrics()
            case _:
                self._send(HTTPStatus.NOT_FOUND, "text/plain", f"not here: {' '.join(_PATHS)}\n".encode())

    do_HEAD = do_GET

    def _answer(self, verdict: Verdict) -> None:
        status = HTTPStatus.OK if verdict.is_good else HTTPStatus.SERVICE_UNAVAILABLE
        body = {"status": "ok" if verdict.is_good else "fail", **verdict.body}
        self._send(status, "application/json", json.dumps(body).encode() + b"\n")

    def _write_metrics(self) -> None:
        health, metrics = self.server.health, self.server.metrics
        metrics.set_silence(health.silent_seconds)
        metrics.set_reachable("broker", is_reachable=health.is_reachable("broker"))
        metrics.set_reachable("store", is_reachable=health.is_reachable("store"))
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        self._send(HTTPStatus.OK, content_type, encode(metrics.registry))

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Probes come every few seconds: no line for each."""
