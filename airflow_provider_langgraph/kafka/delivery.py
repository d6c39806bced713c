"""Sending one message, and waiting for the report that it is safe."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.exceptions import MessageRefusedError, PublishError, SettingsError
from airflow_provider_langgraph.kafka.client_settings import producer_settings
from airflow_provider_langgraph.kafka.connection import KafkaConnection
from airflow_provider_langgraph.kafka.error_hints import BrokerErrors, explain, with_errors
from workflow_events import codec
from workflow_events.errors import EncodeError, MessageTooLargeError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError as ClientError
    from confluent_kafka import Message

log = logging.getLogger(__name__)

_LIMIT = "message.max.bytes"
_TOO_LARGE = "MSG_SIZE_TOO_LARGE"

_Report = tuple["ClientError | None", "Delivered | None"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where a record lies, durable on every in-sync replica."""

    topic: str
    partition: int
    offset: int


def deliver(
    message: codec.Message,
    topic: str,
    what: str,
    connection: KafkaConnection,
    is_abandoned: Callable[[], bool],
    traceparent: str | None = None,
) -> Delivered:
    """Send a message and wait for its delivery report.

    :param what: for errors: "request …".
    :param is_abandoned: whether the caller has no time left for the report.
    :param traceparent: the W3C trace context, for the message's header.
    :raises PublishError: not acknowledged; says why.
    :raises MessageRefusedError: the broker takes no message of this size.
    :raises workflow_events.MessageTooLargeError: the message does not fit; nothing was sent.
    """
    from confluent_kafka import KafkaException, Producer

    settings, errors = with_errors(producer_settings(connection.settings))
    limit, set_by = _limit(settings, connection, topic)
    encoded = codec.encode(message, max_bytes=limit, limit_set_by=set_by, traceparent=traceparent)
    seconds = connection.timeout_seconds
    reports: list[_Report] = []
    try:
        # The report is what counts, so librdkafka gives up when we do, not minutes later.
        producer = Producer(settings | {"message.timeout.ms": int(seconds * 1000)}, logger=log)
        producer.produce(
            topic,
            value=encoded.value,
            key=encoded.key,
            headers=list(encoded.headers),
            on_delivery=lambda error, report: reports.append((error, _delivered(report) if error is None else None)),
        )
        _await_report(producer, reports, errors, seconds, is_abandoned)
    except KafkaException as error:  # fatal ones, too, come from any call that serves the client
        if error.args[0].name() == _TOO_LARGE:  # the client's own limit, with its framing; the broker was not asked
            raise MessageTooLargeError(f"{what}, with the client's framing,", encoded.size, limit, set_by) from None
        why = errors.explain(error.args[0])
        raise PublishError(connection.cannot(f"publish {what} to {topic}", why)) from None
    failed, delivered = reports[0] if reports else (None, None)
    if failed is not None and failed.name() == _TOO_LARGE:
        sized = f"publish {what} of {encoded.size:,} bytes to {topic}"
        raise MessageRefusedError(connection.cannot(sized, explain(failed)))
    if delivered is None:
        raise PublishError(connection.cannot(f"publish {what} to {topic}", errors.explain(failed)))
    return delivered


def require_fits(
    messages: Mapping[str, codec.Message], topic: str, connection: KafkaConnection, traceparent: str | None = None
) -> None:
    """Check what :func:`deliver` checks before it sends a message, and send nothing.

    :param messages: by what their author calls what is in them.
    :raises SettingsError: one is too large, or has no JSON form.
    """
    limit, set_by = _limit(producer_settings(connection.settings), connection, topic)
    for name, message in messages.items():
        try:
            codec.encode(message, max_bytes=limit, limit_set_by=set_by, traceparent=traceparent)
        except (MessageTooLargeError, EncodeError) as error:
            raise SettingsError(f"{name}: {error}") from error


def _limit(settings: dict[str, Any], connection: KafkaConnection, topic: str) -> tuple[int, str]:
    """How many bytes a message may have, and what says so."""
    extra = f"the extra of Kafka connection {connection.name!r}"
    source = (
        f"that {_LIMIT} in {extra} sets" if _LIMIT in settings else f"of a connection without {_LIMIT} in its extra"
    )
    set_by = (
        f"{source}; to raise it, raise max.message.bytes of topic {topic} and LANGGRAPH_WORKER_MAX_MESSAGE_BYTES of "
        f"the workers first, then {_LIMIT} in {extra}"
    )
    return int(settings.get(_LIMIT, codec.DEFAULT_MAX_BYTES)), set_by


def _await_report(
    producer: Any, reports: list[_Report], errors: BrokerErrors, seconds: float, is_abandoned: Callable[[], bool]
) -> None:
    # librdkafka keeps trying a refused login until the message times out; nothing is gained by waiting that long.
    ends = time.monotonic() + seconds + 1
    while not reports and time.monotonic() < ends and not errors.refused and not is_abandoned():
        # Not flush(), which goes on to call back while a fatal error is on its way to us: that ends in SystemError.
        producer.poll(0.25)


def _delivered(report: Message) -> Delivered:
    return Delivered(report.topic() or "", report.partition() or 0, report.offset() or 0)
