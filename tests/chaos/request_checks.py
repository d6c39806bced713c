"""Judges what every request was told: its one result, its cancel, its place in its task; offsets and dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.chaos.evidence import Evidence, seconds
from tests.chaos.faults import Snapshot, Window
from tests.chaos.plan import NODES
from tests.chaos.sent_requests import SentRequest, SentRequests
from tests.chaos.topics import fingerprint
from workflow_events import ResultStatus, WorkflowResultEvent
from workflow_events.headers import value_of

CANCEL_SECONDS = 3.0
"""Seconds, no server away, in which a cancel that the broker has acknowledged reaches the store at the latest."""
LOCK_SECONDS = 1.0
"""Seconds for which accepting waits for a run that is just ending."""
RECONNECT_SECONDS = 10.0
"""Seconds after an outage for clients to come back."""


@dataclass(frozen=True, slots=True)
class Violation:
    """:param request_id: the request it is about, if it is about one."""

    rule: str
    request_id: UUID | None
    text: str


@dataclass(frozen=True)
class Judge:
    """:param windows: what was done to the fleet.
    :param snapshots: what was committed in between.
    """

    sent_requests: SentRequests
    evidence: Evidence
    windows: Sequence[Window]
    snapshots: Sequence[Snapshot]

    def verdicts(self) -> Iterator[Violation]:
        yield from self._one_result_each()
        for asked in self.sent_requests.requests.values():
            row, result = self.evidence.runs.get(asked.id), self._result(asked.id)
            if row is None or result is None:
                continue  # told by the rule before
            yield from self._status(asked, row, result)
            if result.status is ResultStatus.SUCCESS:
                yield from self._state(asked, result)
        yield from self._offsets()
        yield from self._dead_letters()

    def _result(self, request_id: UUID) -> WorkflowResultEvent | None:
        found = self.evidence.results.get(request_id)
        return WorkflowResultEvent.model_validate_json(found[0].value() or b"") if found else None

    def _one_result_each(self) -> Iterator[Violation]:
        rule = "one distinct terminal result for each accepted event"
        expected = self.sent_requests.expected()
        for request_id in expected - self.evidence.results.keys():
            yield Violation(rule, request_id, "there is no result")
        for request_id, messages in self.evidence.results.items():
            different = {fingerprint(message) for message in messages}
            if len(different) > 1:
                yield Violation(rule, request_id, f"{len(different)} different records among {len(messages)}")
            if request_id not in expected:
                yield Violation(rule, request_id, "nobody asked for this result")
            row = self.evidence.runs.get(request_id)
            if row is None:
                yield Violation(rule, request_id, "the store does not know the request")
            elif bytes(row["reply_value"] or b"") != messages[0].value():
                yield Violation(rule, request_id, "the store has another result than was published")
            elif row["published_at"] is None:
                yield Violation(rule, request_id, "the store does not know that it is published")

    # ---- how it ended ----

    def _status(self, asked: SentRequest, row: dict[str, Any], result: WorkflowResultEvent) -> Iterator[Violation]:
        told = (result.status, result.error_type)
        if asked.relation == "late":
            if told != (ResultStatus.CANCELLED, "superseded") or row["attempts"]:
                yield Violation("a late attempt never runs", asked.id, f"{told}, started {row['attempts']} times")
            return
        allowed: set[tuple[ResultStatus, str | None]] = {(ResultStatus.SUCCESS, None)}
        if asked.cancelled_at is not None:
            allowed.add((ResultStatus.CANCELLED, "cancelled"))
        if asked.newer is not None:
            allowed.add((ResultStatus.CANCELLED, "superseded"))
        if told not in allowed:
            yield Violation("a request ends as it should", asked.id, f"{told}: {result.error}")
        elif result.status is ResultStatus.SUCCESS:
            yield from self._had_ended(asked, row)

    def _had_ended(self, asked: SentRequest, row: dict[str, Any]) -> Iterator[Violation]:
        ended = seconds(row["finished_at"])
        if asked.cancelled_at is not None:
            by = self._at_the_latest(asked)
            if ended > by:
                late = ended - asked.cancelled_at
                text = f"it ended with success {late:.3f} s after its cancel was sent, {ended - by:.3f} s too late"
                yield Violation("a cancelled request ends cancelled, or had ended before", asked.id, text)
        newer = self.evidence.runs.get(asked.newer) if asked.newer else None
        # Accepting begins with the clock and waits for locks then; what it met there, a retry's decision tells.
        answered = newer is not None and newer["decision"] == "answered"
        if newer is not None and not answered and ended > seconds(newer["accepted_at"]) + LOCK_SECONDS:
            late = ended - seconds(newer["accepted_at"])
            text = f"it ended with success {late:.3f} s after {asked.newer} was accepted"
            yield Violation("a newer attempt ends the older", asked.id, text)

    def _at_the_latest(self, asked: SentRequest) -> float:
        """Until when a request with a cancel may have ended otherwise: what waited for no worker could not end."""
        if asked.down_since is not None:
            return asked.down_since
        bound = (asked.cancel_acknowledged_at or asked.cancelled_at or 0.0) + CANCEL_SECONDS
        for window in sorted(self.windows, key=lambda window: window.since):
            if (
                window.is_outage
                and window.since - CANCEL_SECONDS <= bound
                and window.until + RECONNECT_SECONDS >= bound - CANCEL_SECONDS
            ):
                bound = max(bound, window.until + RECONNECT_SECONDS)
        return bound

    def _state(self, asked: SentRequest, result: WorkflowResultEvent) -> Iterator[Violation]:
        state: dict[str, Any] = result.result if isinstance(result.result, dict) else {}
        trail = state.get("trail", [])
        nodes = tuple(str(entry).partition(":")[0] for entry in trail)
        # In a conversation other turns stand before.
        is_whole = (nodes if asked.event.thread_id is None else nodes[-len(NODES) :]) == NODES
        if not is_whole or len(set(trail)) != len(trail):
            yield Violation("a result comes through each node once", asked.id, f"its trail is {trail[-8:]}")
        if state.get("note") != asked.event.payload.data["note"]:
            yield Violation("a result is of its own input", asked.id, f"its note is {state.get('note')!r}")

    # ---- Kafka ----

    def _offsets(self) -> Iterator[Violation]:
        rule = "committed offsets cover exactly the accepted"
        ends: dict[int, int] = {}
        buried = self._buried()
        for message in self.evidence.events:
            partition, offset = message.partition() or 0, message.offset() or 0
            ends[partition] = max(ends.get(partition, 0), offset + 1)
            named = header(message, "correlation-id")
            row = self.evidence.runs.get(UUID(named)) if is_uuid(named) else None
            done_at = seconds(row["accepted_at"]) if row else buried.get((partition, offset))
            if done_at is None:
                text = f"{partition}@{offset} is committed, but neither accepted nor dead-lettered"
                yield Violation(rule, None, text)
                continue
            for snapshot in self.snapshots:
                if offset < snapshot.committed[partition] and done_at > snapshot.at:
                    text = (
                        f"{partition}@{offset} was committed {done_at - snapshot.at:.3f} s or more before it was done"
                    )
                    yield Violation(rule, row["correlation_id"] if row else None, text)
        for partition, end in ends.items():
            if self.evidence.committed.get(partition) != end:
                text = f"partition {partition} ends at {end}, committed is {self.evidence.committed.get(partition)}"
                yield Violation(rule, None, text)

    def _buried(self) -> dict[tuple[int, int], float]:
        """When records were dead-lettered, by their partition and offset."""
        found: dict[tuple[int, int], float] = {}
        for letter in self.evidence.letters:
            place = int(header(letter, "dead-letter-partition")), int(header(letter, "dead-letter-offset"))
            found[place] = min(letter.timestamp()[1] / 1000, found.get(place, float("inf")))
        return found

    def _dead_letters(self) -> Iterator[Violation]:
        rule = "garbage is in the dead-letter topic with its reason"
        found = {bytes(message.key() or b""): message for message in self.evidence.letters}
        for number, garbage in enumerate(self.sent_requests.garbage):
            letter = found.pop(b"garbage-%d" % number, None)
            if letter is None:
                yield Violation(rule, garbage.waiter, f"{garbage.value!r:.80} is not there")
            elif header(letter, "dead-letter-error-type") != garbage.error_type:
                text = f"{garbage.value!r:.80} is there as {header(letter, 'dead-letter-error-type')}"
                yield Violation(rule, garbage.waiter, text)
            elif not header(letter, "dead-letter-reason") or letter.value() != garbage.value:
                yield Violation(rule, garbage.waiter, f"{garbage.value!r:.80} has no reason, or another body")
            yield from self._answered(garbage.waiter)
        for key, letter in found.items():
            yield Violation(rule, None, f"{key!r} is a dead letter: {header(letter, 'dead-letter-reason')}")

    def _answered(self, waiter: UUID | None) -> Iterator[Violation]:
        result = self._result(waiter) if waiter is not None else None
        if result is not None and result.status is not ResultStatus.ERROR:
            yield Violation("whoever waits for garbage is told so", waiter, f"{result.status}")


def header(message: Any, name: str) -> str:
    return value_of(message.headers(), name) or ""


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
