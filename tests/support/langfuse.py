"""A server that records what Langfuse's client sends to it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.otlp import OtlpReceiver, otlp_receiver

PUBLIC_KEY = "pk-lf-tests"
SECRET_KEY = "sk-lf-a-secret-of-the-tests"
PATH = "/api/public/otel/v1/traces"


@dataclass
class LangfuseServer:
    """:ivar received: the spans, and the headers of the requests that brought them."""

    received: OtlpReceiver
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env = {
            "LANGFUSE_PUBLIC_KEY": PUBLIC_KEY,
            "LANGFUSE_SECRET_KEY": SECRET_KEY,
            "LANGFUSE_BASE_URL": f"http://127.0.0.1:{self.received.port}",
            "LANGFUSE_FLUSH_INTERVAL": "0.2",
        }

    @property
    def is_authorized(self) -> bool:
        """Whether each request had the keys."""
        wanted = "Basic " + base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
        return bool(self.received.headers) and all(one.get("authorization") == wanted for one in self.received.headers)


@contextmanager
def langfuse_server() -> Iterator[LangfuseServer]:
    with otlp_receiver(PATH) as received:
        yield LangfuseServer(received)
