"""Which topic the events topic is: one that was deleted and created anew has the same name and the same places."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from langgraph_worker.errors import BrokerError
from workflow_events.backoff import Backoff
from workflow_events.codec import Record
from workflow_events.headers import correlation_id_of

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


class EventsTopic:
    """Makes sure that batches are of the topic that the worker began to read, and gives records without an id of their
    own the topic's id.

    It asks the broker after a batch was read: an id that is the same as at the worker's start was the topic's all the
    time between. Records that name their ids count too: Kafka's client reads on in the new topic at the offsets of the
    old one, so what comes before them there was passed, and would be lost with their commit.

    A broker that has no ids of topics, or none just now, says nothing: then the ids are those of the worker's start.

    :param read: asks the broker for the topic's id; empty where it has none. Raises :exc:`BrokerError`.
    :param at_start: the topic's id when the worker started.
    :param first: the id of the topic of this name that the run store met first.
    """

    def __init__(self, name: str, read: Callable[[], Awaitable[str]], at_start: str, first: str) -> None:
        self._name = name
        self._read = read
        self._at_start = at_start
        self._shown = "" if at_start == first else at_start

    async def named(self, records: Sequence[Record]) -> Sequence[Record]:
        """The records, those without a correlation header with the topic's id.

        It waits for a broker that is away.

        :raises BrokerError: the topic is another one than at the worker's start.
        """
        if not self._at_start or all(correlation_id_of(record.headers) is not None for record in records):
            return records
        await self.require_same()
        return [replace(record, topic_id=self._shown) for record in records]

    async def require_same(self) -> None:
        """Make sure that all that was read until now is of the topic of the worker's start: before it is committed.

        It waits for a broker that is away.

        :raises BrokerError: the topic is another one than at the worker's start.
        """
        if self._at_start and await self._topic_id() not in ("", self._at_start):
            raise BrokerError(
                f"topic {self._name} was deleted and created anew while this worker read it, which may have passed "
                "records of the new one. Start the worker again: it reads the new topic from its beginning"
            )

    async def _topic_id(self) -> str:
        backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        while True:
            try:
                return await self._read()
            except BrokerError as error:
                text = "cannot ask which topic %s is, trying again: %s"
                logger.warning(text, self._name, error, extra={"action": "kafka_trouble"})
            await asyncio.sleep(backoff.next_seconds())
