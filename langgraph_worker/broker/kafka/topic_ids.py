"""Asks for a topic's id in a thread of its own: all that is taken in waits for it, and no node may hold it up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from langgraph_worker.broker.kafka.admin import ClusterAdmin
from langgraph_worker.settings.model import WorkerSettings

THREAD = "topic-id"
"""How the name of its thread begins."""


class TopicIds:
    """A client of its own, whose calls the event loop can wait for.

    :raises SettingsError: librdkafka does not take KAFKA_CONFIG.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._admin = ClusterAdmin(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=THREAD)

    async def read(self, topic: str) -> str:
        """Which topic of this name it is; empty where the broker has no ids of topics.

        :raises BrokerError: the broker does not say.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._admin.topic_id, topic)

    def close(self) -> None:
        """Ask no more; does not wait for an answer that is still to come."""
        self._thread.shutdown(wait=False, cancel_futures=True)
