"""The thread that owns the consumer of a results topic.

Only this thread touches the consumer: calls from two threads wait for each other without a time limit. Others send it
commands through a queue, and it calls back once per batch.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.kafka.error_hints import explain
from airflow_provider_langgraph.kafka.owned_thread import OwnedThread
from airflow_provider_langgraph.kafka.topic_reader import Reader, TopicReader, refused
from airflow_provider_langgraph.waiting.catch_up import CatchUpThread, Need
from airflow_provider_langgraph.waiting.catch_up_schedule import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from airflow_provider_langgraph.waiting.commands import Command, Found, Look, ReadBack, Register, Unregister
from airflow_provider_langgraph.waiting.reply_router import Replies, ReplyRouter
from airflow_provider_langgraph.waiting.result_cache import ResultCache
from airflow_provider_langgraph.waiting.troubles import Troubles
from workflow_events.backoff import Backoff
from workflow_events.control import WorkflowQueryEvent

log = logging.getLogger(__name__)

HOPELESS_SECONDS = 30.0
"""How long a refusal (of the login, of a right) or an unknown topic must last to be believed: a broker that is behind
its controller, or a topic that is being created anew, gives the same answer for a moment."""

SOON_SECONDS = 30.0
"""The first fetch reports a right that is missing; one that is reported later was taken away."""

PASSED_SECONDS = 15.0
"""A refusal that is not reported again for so long is over: the reply router lets the reader try again every ten
seconds."""

_FORBIDDEN = "TOPIC_AUTHORIZATION_FAILED"
_HOPELESS = frozenset({_FORBIDDEN, "UNKNOWN_TOPIC_OR_PART"})


class ConsumerLost(WaitError):
    """The shared consumer has ended for a reason that another one may not meet."""


class _RightToRead:
    """Decides whether a right was never granted, or is taken away for a while, which ends no wait.

    :param reader: one that has just begun to read.
    :param now: the clock, in seconds.
    """

    def __init__(self, reader: Reader, now: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._now = now
        self._start = dict(reader.next)
        self._began = now()
        self._refused_at: float | None = None
        self._reported_at = 0.0

    def is_missing(self) -> bool:
        """Whether the reader was refused soon after it began, ever since and for long, and has never read anything."""
        now = self._now()
        if not any(error.name() == _FORBIDDEN for error in self._reader.refusals.values()):
            if now - self._reported_at > PASSED_SECONDS:
                self._refused_at = None
            return False
        self._reported_at = now
        if self._refused_at is None:
            self._refused_at = now
        is_late = self._refused_at - self._began > SOON_SECONDS
        has_read = any(self._reader.next.get(number) != offset for number, offset in self._start.items())
        return now - self._refused_at >= HOPELESS_SECONDS and not is_late and not has_read


@dataclass(slots=True)
class ReadOutcome:
    """What one batch brings to the waiters.

    :param absent: the keys of replies that somebody looks for, and that are not there.
    :param fatal: why the thread has given up: every waiter ends with this.
    """

    replies: Replies = field(default_factory=list)
    absent: list[bytes] = field(default_factory=list)
    fatal: WaitError | None = None


class ConsumerThread(OwnedThread):
    """Reads a results topic from its end, and back where a waiter needs it.

    :param settings: librdkafka settings of the connection.
    :param deliver: called from this thread with what each batch brings; must not block.
    :param ask: called from this thread with a query and the control topic it is for; must not block.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        topic: str,
        deliver: Callable[[ReadOutcome], None],
        ask: Callable[[str, WorkflowQueryEvent], None],
    ) -> None:
        super().__init__(f"results-{topic}")
        self._settings = settings
        self._topic = topic
        self._deliver = deliver
        self._ask = ask
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._troubles = Troubles()

    @property
    def trouble(self) -> str | None:
        """Why the topic cannot be read just now; None while it can."""
        return self._troubles.first

    def send(self, command: Register | Unregister | Look) -> None:
        """Send the thread a command; it acts within a tenth of a second."""
        self._commands.put(command)

    def stop(self) -> None:
        """Ask the thread to end; does not wait for it."""
        super().stop()
        self._commands.put(None)

    def run(self) -> None:
        """Read until stopped, or until reading is hopeless."""
        from confluent_kafka import KafkaException

        try:
            reader = TopicReader(self._settings, self._topic)
            try:
                if self._stand_at_end(reader):
                    self._serve(reader)
            finally:
                reader.close()
        except KafkaException as error:  # with settings that the client does not take, no other consumer can work
            is_final = error.args[0].name() == "_INVALID_ARG"
            why = f"the shared consumer of {self._topic} cannot work: {explain(error.args[0])}"
            self._deliver(ReadOutcome(fatal=WaitError(why) if is_final else ConsumerLost(why)))
        except Exception as error:
            log.exception("The shared consumer of %s failed", self._topic, extra={"action": "consumer_failed"})
            why = f"the shared consumer of {self._topic} failed: {type(error).__name__}: {error}"
            self._deliver(ReadOutcome(fatal=ConsumerLost(why)))

    def _serve(self, reader: Reader) -> None:
        router = ReplyRouter(reader, self._topic, self._start_catch_up, self._ask)
        self._troubles = router.troubles
        right = _RightToRead(reader)
        try:
            while (replies := router.obey(self._commands)) is not None:
                self._bring(replies)
                self._bring(router.read(), router.not_there())
                if right.is_missing():
                    self._give_up(refused(reader, self._topic) or _FORBIDDEN)
                    return
        finally:
            router.close()

    def _bring(self, replies: Replies, absent: Sequence[bytes] = ()) -> None:
        if replies or absent:
            self._deliver(ReadOutcome(replies, list(absent)))

    def _give_up(self, why: str) -> None:
        self._troubles["fatal"] = why
        self._deliver(ReadOutcome(fatal=WaitError(why)))

    def _start_catch_up(self, needs: dict[bytes, Need], until: dict[int, int], memory: ResultCache) -> CatchUpThread:
        catch_up = CatchUpThread(
            lambda: TopicReader(self._settings, self._topic),
            self._topic,
            needs,
            until,
            memory,
            found=lambda replies: self._commands.put(Found(replies)),
            done=lambda passed, error: self._commands.put(ReadBack(passed, error)),
        )
        catch_up.start()
        return catch_up

    def _stand_at_end(self, reader: TopicReader) -> bool:
        """Start at the end of every partition, once the broker can be reached. False: stopped, or hopeless."""
        from confluent_kafka import KafkaException

        pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        hopeless_since: float | None = None
        while True:
            reader.errors.forget()
            try:
                reader.stand_at({number: reader.watermarks(number)[1] for number in reader.partitions()})
            except KafkaException as error:
                why = self._troubles["start"] = reader.errors.explain(error.args[0])
                log.warning("Cannot read %s yet: %s", self._topic, why, extra={"action": "consumer_waiting"})
                if reader.errors.refused or error.args[0].name() in _HOPELESS:
                    hopeless_since = hopeless_since or time.monotonic()
                    if time.monotonic() - hopeless_since >= HOPELESS_SECONDS:
                        self._give_up(f"cannot read {self._topic}: {why}")
                        return False
                else:
                    hopeless_since = None
                if self.stop_asked.wait(pauses.next_seconds()):
                    return False
                continue
            return True
