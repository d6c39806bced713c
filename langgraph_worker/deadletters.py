"""The dead-letter topic: what could not be run, as it came, with the reason in headers of its own."""

from __future__ import annotations

import asyncio
import logging

from langgraph_worker.errors import BrokerError
from langgraph_worker.kafka.port import Producer, SendError
from langgraph_worker.store.port import DeadLetter
from workflow_events.codec import Record, encode
from workflow_events.headers import CORRELATION_ID, correlation_id_of

logger = logging.getLogger(__name__)

PREFIX = "dead-letter-"
"""The record's own headers stay as they were; ours begin with this."""

_LONGEST_REASON = 2_000
_ANY_SIZE = 2**31  # what is too large for the topic is known when it says so
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 15.0


class DeadLetterError(BrokerError):
    """A dead letter cannot be written, so the worker must stop: going on would drop the event."""

    retriable = False


class DeadLetters:
    """Writes dead letters; each is done when the broker has acknowledged it."""

    def __init__(self, producer: Producer, topic: str, worker_id: str) -> None:
        self._producer = producer
        self._topic = topic
        self._worker_id = worker_id

    async def write(self, record: Record, error_type: str, reason: str) -> None:
        """Write one; tries again for as long as Kafka is away, since the event's offset waits for it.

        A record that is too large for the topic is written without its body, and if that is not enough without its key
        and its own headers; a header says so each time, and its origin is named.

        :raises DeadLetterError: the broker refuses it for good.
        """
        theirs = list(record.headers or ())
        ours = self._headers(record, error_type, reason)
        pause = _FIRST_PAUSE
        key, value = record.key, record.value
        bare = False
        while True:
            try:
                await self._producer.send(self._topic, key, value, [*theirs, *ours])
                return
            except SendError as error:
                if error.too_large and value is not None:
                    ours.append((PREFIX + "body-omitted-bytes", str(len(value)).encode()))
                    value = None
                    continue
                if error.too_large and not bare:
                    key, bare = None, True
                    about = correlation_id_of(record.headers)
                    theirs = [] if about is None else [(CORRELATION_ID, str(about).encode())]
                    ours.append((PREFIX + "key-and-headers-omitted", b"true"))
                    continue
                if not error.retriable:
                    raise DeadLetterError(f"the dead letter of {record.where} cannot be written: {error}") from None
                logger.warning(
                    "the dead letter of %s is not written yet: %s", record.where, error, extra={"action": "dead_letter"}
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def write_request(self, letter: DeadLetter) -> None:
        """Write a request that was accepted, as its sender would send it again.

        :raises DeadLetterError: the broker refuses it for good.
        """
        sent, origin = encode(letter.event, max_bytes=_ANY_SIZE), letter.origin
        headers: list[tuple[str, bytes | None]] = [*sent.headers]
        place = (origin.topic, origin.partition, origin.offset)
        record = Record(*place, sent.value, headers, sent.key, cluster=origin.cluster)
        await self.write(record, letter.error_type, letter.reason)

    def _headers(self, record: Record, error_type: str, reason: str) -> list[tuple[str, bytes | str | None]]:
        facts = {
            "reason": reason[:_LONGEST_REASON],
            "error-type": error_type,
            "topic": record.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
            "cluster": record.cluster,
            "timestamp": str(record.timestamp_ms or ""),
            "worker": self._worker_id,
        }
        return [(PREFIX + name, text.encode("utf-8", "replace")) for name, text in facts.items()]
