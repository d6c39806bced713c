"""The dead-letter topic: each record that could not be run, as it came, with the reason in headers of its own."""

from __future__ import annotations

import asyncio
import logging

from langgraph_worker.broker.port import Producer, SendError
from langgraph_worker.domain.faults import UNDECODABLE
from langgraph_worker.domain.models import DeadLetter
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.errors import DeadLetterError
from langgraph_worker.publishing.redacted_records import redacted_body, redacted_headers
from langgraph_worker.telemetry.metrics import Metrics
from workflow_events.backoff import Backoff
from workflow_events.codec import Record, encode
from workflow_events.headers import CORRELATION_ID, correlation_id_of
from workflow_events.undecodable import UndecodablePlace

logger = logging.getLogger(__name__)

PREFIX = "dead-letter-"
"""The record's own headers stay as they were; ours begin with this."""

REDACTED = PREFIX + "redacted"
"""The header of a letter whose body is not what came: it cannot be replayed."""

_LONGEST_REASON = 2_000  # characters
_ANY_SIZE_BYTES = 2**31  # only the broker knows what is too large for the topic
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 15.0


class DeadLetters:
    """Writes dead letters. A call returns when the broker has acknowledged its letter.

    :param redactor: what changes their content.
    """

    def __init__(
        self,
        producer: Producer,
        topic: str,
        worker_id: str,
        metrics: Metrics | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._worker_id = worker_id
        self._metrics = metrics or Metrics()
        self._redactor = redactor or Redactor()

    async def write(self, record: Record, error_type: str, reason: str, **further: int) -> None:
        """Write a record; retry for as long as Kafka is away, since the event's offset waits for it.

        A record that is too large for the topic is written without its body and, if that is not enough, without its key
        and its own headers. Headers name what was omitted or redacted; those of the origin are always there.

        :param further: headers that only some letters have.
        :raises DeadLetterError: the broker refuses it for good.
        """
        theirs = redacted_headers(self._redactor, record.headers or ())
        ours = self._headers(record, error_type, reason)
        ours += [(PREFIX + name, str(value).encode()) for name, value in further.items()]
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        key, value = record.key, redacted_body(self._redactor, "dead_letter", record.value)
        if value != record.value:
            ours.append((REDACTED, b"true"))
        bare = False
        while True:
            try:
                await self._producer.send(self._topic, key, value, [*theirs, *ours])
                self._metrics.dead_letter(error_type)
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
            await asyncio.sleep(backoff.next_seconds())

    async def write_undecodable(self, place: UndecodablePlace) -> None:
        """Write where records lie that cannot be decoded: a letter without key and body, for all of them.

        :raises DeadLetterError: the broker refuses it for good.
        """
        last = (PREFIX + "last-offset", str(place.last).encode())
        record = Record(place.topic, place.partition, place.first, None, [last], cluster=place.cluster)
        await self.write(record, UNDECODABLE.name, str(place))

    async def write_request(self, letter: DeadLetter) -> None:
        """Write a request that was accepted, as its sender would send it again. Its headers say how often it was
        started, and which replay of a dead letter it was: 0 for none.

        :raises DeadLetterError: the broker refuses it for good.
        """
        sent, origin = encode(letter.event, max_bytes=_ANY_SIZE_BYTES), letter.origin
        headers: list[tuple[str, bytes | None]] = [*sent.headers]
        place = (origin.topic, origin.partition, origin.offset)
        record = Record(*place, sent.value, headers, sent.key, cluster=origin.cluster)
        number = letter.event.replay.number if letter.event.replay is not None else 0
        await self.write(record, letter.error_type, letter.reason, attempts=letter.attempts, replay=number)

    def _headers(self, record: Record, error_type: str, reason: str) -> list[tuple[str, bytes | str | None]]:
        facts = {
            "reason": self._redactor.shown_text("dead_letter", reason, "reason")[:_LONGEST_REASON],
            "error-type": error_type,
            "topic": record.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
            "cluster": record.cluster,
            "timestamp": str(record.timestamp_ms or ""),
            "worker": self._worker_id,
        }
        return [(PREFIX + name, text.encode("utf-8", "replace")) for name, text in facts.items()]
