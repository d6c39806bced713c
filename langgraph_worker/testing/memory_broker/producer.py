"""Sends to a broker in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from langgraph_worker.broker.port import Producer, SendError
from langgraph_worker.testing.memory_broker.broker import Headers, MemoryBroker


@dataclass(frozen=True, eq=False)
class _Message:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    acknowledged: asyncio.Future[None]


class MemoryProducer(Producer):
    """Writes in the order of the calls.

    :param delivery_seconds: how long a message waits for a broker that is away.
    """

    def __init__(self, broker: MemoryBroker, delivery_seconds: float = 30.0) -> None:
        self._broker = broker
        self._delivery_seconds = delivery_seconds
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Message] = deque()
        self.failed = self._loop.create_future()
        broker.connect(self)

    async def send(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        message = _Message(topic, key, value, list(headers), self._loop.create_future())
        self._queue.append(message)
        self.wake()
        done, _ = await asyncio.wait({message.acknowledged}, timeout=self._delivery_seconds)
        if not done:
            self._queue.remove(message)
            raise SendError(f"topic {topic}: the message was not acknowledged in time", retriable=True)
        message.acknowledged.result()

    def close(self, timeout: float) -> None:
        del timeout  # nothing can come back while this blocks the loop
        self._flush()
        self._broker.disconnect(self)

    def wake(self) -> None:
        """Write the waiting messages, in the loop's next turn."""
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        while self._queue and not self._broker.away:
            message = self._queue.popleft()
            try:
                self._broker.write(message.topic, message.value, key=message.key, headers=message.headers)
            except SendError as error:
                message.acknowledged.set_exception(error)
            else:
                message.acknowledged.set_result(None)
