"""Dead letters are read back, whatever is in their topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from langgraph_worker.broker.port import Producer
from langgraph_worker.domain.models import DeadLetter, Origin
from langgraph_worker.publishing.dead_letters import DeadLetters
from langgraph_worker.publishing.letters import Letter, LetterFilter
from tests.support.run_store import event
from workflow_events.codec import Record
from workflow_events.models import Replay


class Topic(Producer):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []

    async def send(self, topic, key, value, headers):
        self.letters.append(Letter.of(Record(topic, 0, len(self.letters), value, headers, key, 1_700_000_000_000)))


async def written(sent, **of) -> Letter:
    """A request's letter, as a worker writes it."""
    topic = Topic()
    letter = DeadLetter(sent, Origin("c1", "events", 2, 7), "worker_lost", "they vanished", 4)
    await DeadLetters(topic, "dlq", "w1").write_request(letter)
    return topic.letters[0]


async def test_a_request_s_letter_says_all_that_was_written():
    sent = event(graph="desk")
    letter = await written(sent)
    assert (letter.place, letter.error_type, letter.reason) == ("0:0", "worker_lost", "they vanished")
    assert (letter.attempts, letter.replays, letter.correlation_id) == (4, 0, sent.event_id)
    assert letter.origin == Origin("c1", "events", 2, 7)
    assert letter.written_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert [letter.named(name) for name in ("workflow_id", "workflow_run_id", "graph")] == ["dag", "run", "desk"]
    assert [name for name, _ in letter.own_headers] == ["correlation-id", "event-type", "schema-version"]


async def test_the_letter_of_a_replay_has_its_count_in_a_header_and_in_its_event():
    sent = event(replay=Replay(of=uuid4(), number=3))
    letter = await written(sent)
    assert (letter.header("replay"), letter.replays) == ("3", 3)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"replay": 1, "attempt": []}',
        b'{"replay": {"number": 9999999999}}',
    ],
)
def test_what_is_no_letter_is_one_without_names(value):
    letter = Letter.of(Record("dlq", 1, 5, value, [("dead-letter-offset", b"x"), ("dead-letter-attempts", b"9" * 50)]))
    assert (letter.place, letter.error_type, letter.reason, letter.replays) == ("1:5", "", "", 0)
    assert (letter.attempts, letter.correlation_id, letter.written_at) == (None, None, None)
    assert letter.origin == Origin("", "", -1, -1)
    assert letter.named("graph") == ""


def test_texts_that_no_worker_writes_so_long_are_cut():
    long = "x" * 1_000_000
    letter = Letter.of(
        Record("dlq", 0, 0, json.dumps({"graph": long}).encode(), [("dead-letter-reason", long.encode())])
    )
    assert (len(letter.reason), len(letter.named("graph"))) == (4_000, 4_000)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (LetterFilter(), True),
        (LetterFilter(reasons=frozenset({"worker_lost", "deadline"})), True),
        (LetterFilter(reasons=frozenset({"deadline"})), False),
        (LetterFilter(graph="desk", workflow_id="d", workflow_run_id="r"), True),
        (LetterFilter(graph="desk", workflow_id="other"), False),
        (LetterFilter(workflow_run_id="other"), False),
        (LetterFilter(text="VANISHED"), True),
        (LetterFilter(text="in the BODY"), True),
        (LetterFilter(text="nowhere"), False),
    ],
)
def test_a_filter_takes_what_fits_in_all_ways(wanted, fits):
    body = {"graph": "desk", "workflow_id": "d", "workflow_run_id": "r", "payload": "in the body"}
    headers = [("dead-letter-error-type", b"worker_lost"), ("dead-letter-reason", b"They vanished")]
    assert wanted.takes(Letter.of(Record("dlq", 0, 0, json.dumps(body).encode(), headers))) is fits
