"""The thread that owns the consumer of a results topic.

Only this thread touches the consumer: calls from two threads wait for each other without a time limit. The outside
speaks to it through a queue of commands, and hears from it once per batch.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_langgraph.exceptions import WaitError
from airflow_provider_langgraph.hooks.broker_errors import explain
from airflow_provider_langgraph.triggers.backfill import Backfill, Need
from airflow_provider_langgraph.triggers.commands import Command, Found, ReadBack, Register, Unregister
from airflow_provider_langgraph.triggers.desk import Replies, ResultDesk
from airflow_provider_langgraph.triggers.read_backs import FIRST_PAUSE, LONGEST_PAUSE
from airflow_provider_langgraph.triggers.seen import SeenResults
from airflow_provider_langgraph.triggers.topic_reader import Reader, TopicReader, refused
from workflow_events.control import WorkflowQueryEvent

log = logging.getLogger(__name__)

HOPELESS_SECONDS = 30.0
"""How long a refusal (of the login, of a right) or an unknown topic must last to be believed: a broker that is behind
its controller, or a topic that is being created anew, gives the same answer for a moment."""

SOON_SECONDS = 30.0
"""A right that is missing is told by the first fetch; what is told later was taken away."""

PASSED_SECONDS = 15.0
"""A refusal that is not heard again for so long is over: the desk has the reader try again every ten seconds."""

_FORBIDDEN = "TOPIC_AUTHORIZATION_FAILED"
_HOPELESS = frozenset({_FORBIDDEN, "UNKNOWN_TOPIC_OR_PART"})


class ListenerLost(WaitError):
    """The listener has ended for a reason of its own: another one may do better."""


class _RightToRead:
    """Tells a right that was never granted from one that is taken away for a while, which ends no wait.

    :param reader: one that has just begun to read.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._start = dict(reader.next)
        self._began = time.monotonic()
        self._refused_at: float | None = None
        self._heard_at = 0.0

    def is_missing(self) -> bool:
        """Whether the reader was refused soon after it began, ever since and for long, and has never read anything."""
        now = time.monotonic()
        if not any(error.name() == _FORBIDDEN for error in self._reader.refusals.values()):
            if now - self._heard_at > PASSED_SECONDS:
                self._refused_at = None
            return False
        self._heard_at = now
        if self._refused_at is None:
            self._refused_at = now
        is_late = self._refused_at - self._began > SOON_SECONDS
        has_read = any(self._reader.next.get(number) != offset for number, offset in self._start.items())
        return now - self._refused_at >= HOPELESS_SECONDS and not is_late and not has_read


@dataclass(slots=True)
class Outcome:
    """What the thread brings to the waiters.

    :param fatal: the thread has given up: every waiter ends with this.
    """

    replies: Replies = field(default_factory=list)
    fatal: WaitError | None = None


class PollThread(threading.Thread):
    """Reads a results topic from its end, and back where a waiter needs it.

    :param settings: librdkafka settings of the connection.
    :param deliver: called from this thread with what each batch brings; must not block.
    :param ask: called from this thread with a query and the control topic it is for; must not block.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        topic: str,
        deliver: Callable[[Outcome], None],
        ask: Callable[[str, WorkflowQueryEvent], None],
    ) -> None:
        super().__init__(name=f"langgraph-results-{topic}", daemon=True)
        self._settings = settings
        self._topic = topic
        self._deliver = deliver
        self._ask = ask
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._troubles: dict[str, str] = {}

    @property
    def trouble(self) -> str | None:
        """Why the topic cannot be read just now; None while it can."""
        return next(iter(list(self._troubles.values())), None)

    def send(self, command: Register | Unregister) -> None:
        """Ask the thread for something; it obeys within a tenth of a second."""
        self._commands.put(command)

    def stop(self) -> None:
        """Ask the thread to end; does not wait for it."""
        self._stopped.set()
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
        except KafkaException as error:  # with settings that the client does not take, no other listener does better
            is_final = error.args[0].name() == "_INVALID_ARG"
            why = f"the listener of {self._topic} cannot work: {explain(error.args[0])}"
            self._deliver(Outcome(fatal=WaitError(why) if is_final else ListenerLost(why)))
        except Exception as error:
            log.exception("The listener of %s failed", self._topic, extra={"action": "listener_failed"})
            why = f"the listener of {self._topic} failed: {type(error).__name__}: {error}"
            self._deliver(Outcome(fatal=ListenerLost(why)))

    def _serve(self, reader: Reader) -> None:
        desk = ResultDesk(reader, self._topic, self._start_backfill, self._ask)
        self._troubles = desk.troubles
        right = _RightToRead(reader)
        try:
            while (replies := desk.obey(self._commands)) is not None:
                self._bring(replies)
                self._bring(desk.read())
                if right.is_missing():
                    self._give_up(refused(reader, self._topic) or _FORBIDDEN)
                    return
        finally:
            desk.close()

    def _bring(self, replies: Replies) -> None:
        if replies:
            self._deliver(Outcome(replies))

    def _give_up(self, why: str) -> None:
        self._troubles["fatal"] = why
        self._deliver(Outcome(fatal=WaitError(why)))

    def _start_backfill(self, needs: dict[bytes, Need], until: dict[int, int], memory: SeenResults) -> Backfill:
        backfill = Backfill(
            lambda: TopicReader(self._settings, self._topic),
            self._topic,
            needs,
            until,
            memory,
            found=lambda replies: self._commands.put(Found(replies)),
            done=lambda passed, error: self._commands.put(ReadBack(passed, error)),
        )
        backfill.start()
        return backfill

    def _stand_at_end(self, reader: TopicReader) -> bool:
        """Begin at the end of every partition. A broker that is away is waited for; False: stopped, or hopeless."""
        from confluent_kafka import KafkaException

        pause = FIRST_PAUSE
        hopeless_since: float | None = None
        while True:
            reader.errors.forget()
            try:
                reader.stand_at({number: reader.watermarks(number)[1] for number in reader.partitions()})
            except KafkaException as error:
                why = self._troubles["start"] = reader.errors.explain(error.args[0])
                log.warning("Cannot read %s yet: %s", self._topic, why, extra={"action": "listener_waiting"})
                if reader.errors.refused or error.args[0].name() in _HOPELESS:
                    hopeless_since = hopeless_since or time.monotonic()
                    if time.monotonic() - hopeless_since >= HOPELESS_SECONDS:
                        self._give_up(f"cannot read {self._topic}: {why}")
                        return False
                else:
                    hopeless_since = None
                if self._stopped.wait(pause):
                    return False
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            return True
