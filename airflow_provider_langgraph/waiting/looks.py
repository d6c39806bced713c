"""Answers at once whether a reply is on the topic, where a waiter waits until it is."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_langgraph.kafka.topic_reader import Reader


class Looks:
    """The questions whether a reply is there. Belongs to the thread that owns the reader.

    A reply that is waited for is not there once the reader has read up to the ends that the topic had at the question,
    and what lies before was searched too.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ends: dict[bytes, dict[int, int] | None] = {}  # None: not known yet

    def add(self, key: bytes) -> None:
        """Add a question."""
        self._ends[key] = None

    def settle(self, is_waiting: Callable[[bytes], bool], is_searched: Callable[[bytes], bool]) -> list[bytes]:
        """The keys of replies that are not there. To be called after each reading.

        :param is_waiting: whether a reply is still waited for; if not, it was found, or its waiters have left.
        :param is_searched: whether everything before the reader's own position was searched for it.
        """
        self._ends = {key: ends for key, ends in self._ends.items() if is_waiting(key)}
        if not self._ends:
            return []
        self._reader.skip_gaps()
        absent = [key for key, ends in self._ends.items() if ends and self._is_past(ends) and is_searched(key)]
        for key in absent:
            del self._ends[key]
        return absent

    def begin(self) -> None:
        """Ask the broker for the ends if there is a new question. The reader then knows which topic it is now."""
        if any(ends is None for ends in self._ends.values()):
            now = self._ends_now()
            self._ends = {key: ends or now for key, ends in self._ends.items()}

    def _ends_now(self) -> dict[int, int] | None:
        from confluent_kafka import KafkaException

        try:
            return {number: self._reader.watermarks(number)[1] for number in self._reader.partitions()}
        except KafkaException:  # asked again after the next reading; the caller has a limit of time
            return None

    def _is_past(self, ends: dict[int, int]) -> bool:
        return all(self._reader.next.get(number, -1) >= end for number, end in ends.items())
