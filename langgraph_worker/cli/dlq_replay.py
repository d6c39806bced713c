"""``langgraph-worker dlq replay``: one letter after the other, each acknowledged before the next is read.

A letter that cannot be replayed is named with the reason, and the others go on. To run the command again does no harm:
the same letter gives the same request, which runs once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from langgraph_worker.broker.kafka.admin import topic_limit
from langgraph_worker.broker.kafka.client_configs import producer_config
from langgraph_worker.broker.kafka.end_offsets import TopicEnd
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.broker.port import Producer, SendError
from langgraph_worker.cli.dlq_topic import DeadLetterTopic
from langgraph_worker.domain.known_graphs import known_in_words
from langgraph_worker.errors import SettingsError
from langgraph_worker.publishing.letters import Letter, LetterFilter
from langgraph_worker.publishing.replay import NotReplayableError, PreparedReplay, prepare
from langgraph_worker.publishing.request_handle import handle_of
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.log_words import counted, in_utc
from workflow_events.plain_text import one_line

_CLOSE_SECONDS = 5.0


def replay_letters(settings: WorkerSettings, arguments: argparse.Namespace, wanted: LetterFilter) -> int:
    """Replay what the command line names, or what its filters choose: 0, or 1 if a letter was not replayed.

    :raises SettingsError: the command line does not say which letters, or that all of them are meant.
    :raises WorkerError: Kafka cannot be read.
    """
    chosen_by_filter = not arguments.letters
    has_filter = arguments.since is not None or wanted != LetterFilter()
    if chosen_by_filter and not has_filter:
        raise SettingsError("dlq replay: name letters, or choose them with --reason, --graph, --dag, --since, ...")
    if not chosen_by_filter and has_filter:
        raise SettingsError("dlq replay: name letters or choose them with filters, not both")
    unsure = chosen_by_filter and not arguments.yes
    topic = DeadLetterTopic(settings)
    replayer = _Replayer(settings, topic, arguments, _rules(settings, topic, arguments), arguments.dry_run or unsure)
    letters = topic.letters(wanted, arguments.since) if chosen_by_filter else None
    asyncio.run(replayer.replay(letters))
    print(f"langgraph-worker: {replayer.summary}", file=sys.stderr)
    if unsure and not arguments.dry_run:
        raise SettingsError("dlq replay: nothing was sent. Add --yes to send these, or --dry-run to see them only")
    return 1 if replayer.failed else 0


@dataclass(frozen=True, slots=True)
class ReplayRules:
    """What is refused before anything is sent, beside what :func:`prepare` refuses.

    :param graphs: those of the fleet; None if there may be others.
    :param forgotten_before: the run store may have forgotten what ended before; None: that does not matter.
    """

    reply_topics: frozenset[str]
    graphs: frozenset[str] | None
    forgotten_before: datetime | None

    def check(self, letter: Letter, replay: PreparedReplay) -> None:
        """:raises NotReplayableError: the text has the cause and the remedy."""
        event, written = replay.event, letter.written_at
        if self.forgotten_before is not None and (written is None or written < self.forgotten_before):
            raise NotReplayableError(
                f"it was written {f'at {in_utc(written)}' if written else 'at an unknown time'}, and the run store "
                "keeps what ended for LANGGRAPH_WORKER_RETENTION_DAYS only: the request would start afresh, beside a "
                "newer attempt of its task perhaps. See in Airflow how the task ended; --past-retention sends it"
            )
        if event.reply_topic is not None and event.reply_topic not in self.reply_topics:
            raise NotReplayableError(
                f"field 'reply_topic': {event.reply_topic!r} is not allowed by these settings. Add it to "
                "LANGGRAPH_WORKER_ALLOWED_REPLY_TOPICS, for the workers too"
            )
        if event.graph is not None and self.graphs is not None and event.graph not in self.graphs:
            raise NotReplayableError(
                f"no worker of the fleet serves graph {event.graph!r}. {known_in_words(event.graph, self.graphs)} "
                "Deploy a worker that has it"
            )


def _rules(settings: WorkerSettings, topic: DeadLetterTopic, arguments: argparse.Namespace) -> ReplayRules:
    kept_since = datetime.now(UTC) - timedelta(days=settings.retention_days)
    return ReplayRules(
        settings.reply_topics, topic.announced_graphs(), None if arguments.past_retention else kept_since
    )


@dataclass
class _Replayer:
    """Replays letters, and prints a line for each.

    :param is_trial: nothing is sent.
    :ivar failed: how many letters were not replayed.
    """

    settings: WorkerSettings
    topic: DeadLetterTopic
    arguments: argparse.Namespace
    rules: ReplayRules
    is_trial: bool
    sent: int = 0
    failed: int = 0
    _seen: dict[UUID, str] = field(default_factory=dict)
    _results: dict[str, TopicEnd] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """What was done, in words."""
        done = f"{counted(self.sent, 'letter')} {'would be replayed' if self.is_trial else 'replayed'}"
        return f"{done}, {self.failed:,} not" if self.failed else done

    async def replay(self, letters: Iterator[Letter] | None) -> None:
        """Replay letters; None: those that the command line names."""
        if self.is_trial:
            await self._with(None, letters)
            return
        producer = AckProducer(producer_config(self.settings), partial(topic_limit, self.settings))
        try:
            await self._with(producer, letters)
        finally:
            producer.close(_CLOSE_SECONDS)

    async def _with(self, producer: Producer | None, letters: Iterator[Letter] | None) -> None:
        for name, letter in self._named() if letters is None else ((one.place, one) for one in letters):
            if letter is None:
                self._fail(name, f"{self.topic.name} has no such letter, or not any more: its retention removes them")
                continue
            try:
                await self._one(producer, letter)
            except (NotReplayableError, SendError) as error:
                self._fail(letter.place, str(error))
                if isinstance(error, SendError) and error.retriable:
                    raise  # Kafka is away: the letters behind this one would all wait for it

    def _named(self) -> Iterator[tuple[str, Letter | None]]:
        names = list(dict.fromkeys(self.arguments.letters))
        for name, place in self.topic.find(names).items():
            yield name, self.topic.at(place) if place is not None else None

    async def _one(self, producer: Producer | None, letter: Letter) -> None:
        given = self.arguments
        time_left = min(timedelta(hours=given.deadline_hours), timedelta(days=self.settings.max_deadline_days))
        deadline = datetime.now(UTC) + time_left
        replay = prepare(letter, deadline, self.settings.max_message_bytes, given.number)
        self.rules.check(letter, replay)
        request, encoded = replay.event.event_id, replay.encoded
        handle = handle_of(replay.event, self._place_of_results(replay), self.settings, given.kafka_config_id)
        if request in self._seen:
            self._print(letter.place, replay, f"the same request as {self._seen[request]}", handle)
            return
        if producer is not None:
            events = self.settings.kafka_workflow_events_topic
            await producer.send(events, encoded.key, encoded.value, encoded.headers)
        self._seen[request] = letter.place
        self.sent += 1
        self._print(letter.place, replay, "would be sent" if producer is None else "sent", handle)

    def _place_of_results(self, replay: PreparedReplay) -> TopicEnd:
        topic = replay.event.reply_topic or self.settings.kafka_workflow_results_topic
        if topic not in self._results:  # before the first of its replays is out: no result can lie before
            self._results[topic] = self.topic.results(topic)
        return self._results[topic]

    def _fail(self, place: str, why: str) -> None:
        self.failed += 1
        if self.arguments.as_json:
            _print_json({"place": place, "status": "refused", "error": why})
        else:
            print(one_line(f"{place}  not replayed: {why}"))

    def _print(self, place: str, replay: PreparedReplay, status: str, handle: dict[str, Any]) -> None:
        event = replay.event
        if self.arguments.as_json:
            facts = {"place": place, "status": status, "correlation_id": str(event.event_id), "of": str(replay.of)}
            _print_json({**facts, "number": replay.number, "handle": handle})
            return
        print(
            one_line(
                f"{place}  {status}: replay {replay.number} of request {replay.of}, as request {event.event_id} "
                f"({event.workflow_id}, run {event.workflow_run_id})"
            ),
            flush=True,
        )


def _print_json(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)
