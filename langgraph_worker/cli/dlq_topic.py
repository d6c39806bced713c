"""What the commands of ``dlq`` read of Kafka: letters, by filter or by name, and what a replay needs to know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from langgraph_worker.broker.kafka.admin import ClusterAdmin
from langgraph_worker.broker.kafka.client_configs import control_config
from langgraph_worker.broker.kafka.end_offsets import TopicEnd, end_of
from langgraph_worker.broker.kafka.stored_records import StoredRecords
from langgraph_worker.domain.faults import UNDECODABLE
from langgraph_worker.errors import BrokerError, WorkerError
from langgraph_worker.publishing.dead_letters import PREFIX
from langgraph_worker.publishing.letters import Letter, LetterFilter
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.announcements import BELIEVED_SECONDS, WorkerAnnouncement
from workflow_events.codec import Record, decode_announcement
from workflow_events.errors import DecodeError
from workflow_events.plain_text import one_line
from workflow_events.undecodable import UndecodablePlace

_REACH_KAFKA_SECONDS = 8.0
_PLACE = re.compile(r"(?:(?P<topic>[^\[\]]+)\[(?P<number>\d{1,9})\]@|(?P<short>\d{1,9})[:/@])(?P<offset>\d{1,18})")


@dataclass(frozen=True, slots=True)
class LetterPlace:
    """Where a letter is."""

    partition: int
    offset: int


class DeadLetterTopic:
    """The dead-letter topic of a fleet.

    :raises BrokerError: Kafka cannot be reached, or the topic is not there.
    :raises SettingsError: librdkafka does not take KAFKA_CONFIG.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self.name = settings.kafka_workflow_dead_letters_topic
        admin = ClusterAdmin(settings)
        self._cluster = admin.describe(_REACH_KAFKA_SECONDS)
        self._require(self.name)

    def letters(self, wanted: LetterFilter, since: datetime | None = None) -> Iterator[Letter]:
        """The letters that are there now and fit, one at a time, a partition's newest last.

        :param since: leave out what was written before.
        """
        with self._reader(self.name) as reader:
            for found in reader.read(since):
                letter = _letter(found)
                if wanted.takes(letter):
                    yield letter

    def find(self, names: list[str]) -> dict[str, LetterPlace | None]:
        """Where the letters are that a command line names, by their names; None for a request that has none.

        :raises WorkerError: one is neither a place nor an id.
        """
        places = {name: self._named(name) for name in names}
        ids = {place for place in places.values() if isinstance(place, UUID)}
        newest: dict[UUID, LetterPlace | None] = dict.fromkeys(ids)
        if ids:  # the places alone are kept: letters may be large
            for letter in self.letters(LetterFilter()):
                about = letter.correlation_id
                if about in ids:
                    newest[about] = LetterPlace(letter.record.partition, letter.record.offset)
        return {name: newest[place] if isinstance(place, UUID) else place for name, place in places.items()}

    def at(self, place: LetterPlace) -> Letter | None:
        """The letter at a place; None if nothing is there (any more)."""
        with self._reader(self.name) as reader:
            found = reader.at(place.partition, place.offset)
        return None if found is None else _letter(found)

    def results(self, topic: str) -> TopicEnd:
        """Where the results topic ends now.

        :raises BrokerError: it cannot be asked.
        """
        self._require(topic)
        return end_of(self._settings, topic)

    def announced_graphs(self) -> frozenset[str] | None:
        """The graphs that the fleet's workers have announced; None if there may be others, or if this user may not
        read what they announce.
        """
        topic = self._settings.kafka_workflow_graphs_topic
        if topic not in self._cluster.topics:
            return None
        workers: dict[bytes, WorkerAnnouncement] = {}
        try:
            with self._reader(topic) as reader:
                for record in reader.read():
                    if isinstance(record, UndecodablePlace):
                        return None
                    _note_announcement(record, self._settings.kafka_workflow_events_topic, workers)
        except BrokerError:
            return None
        since = datetime.now(UTC) - timedelta(seconds=BELIEVED_SECONDS)
        running = [worker for worker in workers.values() if worker.announced_at >= since]
        silent = {name for worker in running for name in worker.fleet} - {worker.worker_id for worker in running}
        if not running or silent or not all(worker.steady for worker in running):
            return None
        return frozenset(name for worker in running for name in worker.graphs)

    def _named(self, name: str) -> LetterPlace | UUID:
        place = _PLACE.fullmatch(name)
        if place is not None:
            if place["topic"] is not None and place["topic"] != self.name:
                raise WorkerError(f"{one_line(name)!r} is no place in {self.name}, which has this fleet's dead letters")
            return LetterPlace(int(place["number"] or place["short"]), int(place["offset"]))
        try:
            return UUID(name)
        except ValueError:
            raise WorkerError(
                f"{one_line(name)!r} is neither a place, such as 0:17, nor a whole correlation id. "
                "`langgraph-worker dlq list` shows both"
            ) from None

    def _reader(self, topic: str) -> StoredRecords:
        return StoredRecords(control_config(self._settings), topic, self._cluster.cluster_id)

    def _require(self, topic: str) -> None:
        if topic not in self._cluster.topics:
            raise BrokerError(
                f"no topic {topic} at {self._settings.kafka_bootstrap_servers}, or this user may not see it. Grant "
                "this user READ on it, or correct LANGGRAPH_WORKER_FLEET or the KAFKA_..._TOPIC setting"
            )


def _letter(found: Record | UndecodablePlace) -> Letter:
    """A letter; of one that the Kafka client cannot decode, the place is known."""
    if isinstance(found, UndecodablePlace):
        about = {"error-type": UNDECODABLE.name, "reason": f"of the dead-letter topic itself: {found}"}
        headers = [(PREFIX + name, text.encode()) for name, text in about.items()]
        found = Record(found.topic, found.partition, found.first, None, headers, cluster=found.cluster)
    return Letter.of(found)


def _note_announcement(record: Record, events_topic: str, workers: dict[bytes, WorkerAnnouncement]) -> None:
    key = record.key or b""
    workers.pop(key, None)
    if not record.value:
        return
    try:
        found = decode_announcement(record)
    except DecodeError:
        return
    if isinstance(found, WorkerAnnouncement) and found.events_topic == events_topic:
        workers[key] = found
