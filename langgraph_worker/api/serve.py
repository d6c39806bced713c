"""Serves the API beside a run store, until a signal comes."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from langgraph_worker.api.app import make_app
from langgraph_worker.api.parts import ApiParts
from langgraph_worker.api.tokens import TokenFile
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.errors import SettingsError
from langgraph_worker.operations.sending import MessageSender
from langgraph_worker.operations.store_access import opened_store
from langgraph_worker.settings.model import WorkerSettings, env_name
from langgraph_worker.settings.store_url import shown_url
from langgraph_worker.store.sql.run_views import SqlRunViews

logger = logging.getLogger(__name__)

_LAST_REQUESTS_SECONDS = 10
_MOST_HEADER_BYTES = 32_768
_MOST_CONNECTIONS = 500  # that are answered; more get 503


class _Server(uvicorn.Server):
    """Ends as a worker does: a signal is the wish to stop, not a failure of the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.handle_exit, name, None)
        yield


async def serve(settings: WorkerSettings, redactor: Redactor) -> None:
    """Answer until SIGTERM or SIGINT; what is being answered then has ten seconds.

    :raises SettingsError: a setting is wrong: names it and the remedy.
    :raises StoreError: the run store cannot be used.
    """
    tokens = _tokens(settings)
    with _listening(settings) as listener:
        async with opened_store(settings) as store:
            sender = MessageSender(settings)
            try:
                parts = ApiParts(settings, store, SqlRunViews(store), redactor, store.audit, store.request_keys, sender)
                config = uvicorn.Config(
                    make_app(parts, tokens),
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    lifespan="off",
                    http="h11",  # the other one has no limit for headers
                    h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
                    ws="none",
                    proxy_headers=False,  # who says where a request came from must not be who sends it
                    limit_concurrency=_MOST_CONNECTIONS,
                    timeout_graceful_shutdown=_LAST_REQUESTS_SECONDS,
                )
                host, port = listener.getsockname()[:2]
                logger.info(
                    "API ready at http://%s:%d/api/v1, run store %s, Kafka %s, %s",
                    host,
                    port,
                    shown_url(settings.store_url),
                    settings.kafka_bootstrap_servers,
                    settings.fleet_in_words,
                    extra={"action": "api_ready"},
                )
                await _Server(config).serve([listener])
            finally:
                await sender.close()


def _tokens(settings: WorkerSettings) -> TokenFile:
    if settings.api_tokens_file is None:
        raise SettingsError(
            f"{env_name('api_tokens_file')} is not set. Name the file of the clients' tokens there; "
            "`langgraph-worker api-token NAME` prints a token, and what to write into that file"
        )
    return TokenFile(settings.api_tokens_file)


def _listening(settings: WorkerSettings) -> socket.socket:
    host, port = settings.api_host, settings.api_port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(
            f"{env_name('api_port')}: {host}:{port} cannot be used: {error.strerror or error}. Choose another port, or "
            f"correct {env_name('api_host')}"
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each answer is two small writes
    if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
        logger.warning(
            "the API listens on %s without TLS: whoever can read its traffic has its tokens. Put a proxy with TLS "
            "before it",
            host,
            extra={"action": "config"},
        )
    return listener
