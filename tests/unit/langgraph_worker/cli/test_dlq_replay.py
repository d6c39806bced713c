"""``dlq replay``: what is sent, in which order, and what is said of each letter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from langgraph_worker.broker.kafka.end_offsets import TopicEnd
from langgraph_worker.broker.port import SendError
from langgraph_worker.cli import dlq_replay
from langgraph_worker.cli.command_line import read_command_line
from langgraph_worker.cli.dlq import filter_of
from langgraph_worker.cli.dlq_topic import LetterPlace
from langgraph_worker.errors import SettingsError
from langgraph_worker.publishing.letters import Letter, LetterFilter
from langgraph_worker.settings.load import load_settings
from tests.support.run_store import event
from workflow_events.codec import Record, decode_event, encode
from workflow_events.identity import replay_id
from workflow_events.models import WorkflowEvent


class Kafka:
    """The dead-letter topic with these letters, and the producer; one by one what was asked of them."""

    name = "dlq"

    def __init__(self, *values: bytes) -> None:
        now = int(datetime.now(UTC).timestamp() * 1000)
        found = [Record("dlq", 0, at, value, [], timestamp_ms=now) for at, value in enumerate(values)]
        self.stored = [Letter.of(record) for record in found]
        self.log: list[str] = []
        self.sent: list[WorkflowEvent] = []
        self.refuses: dict[int, SendError] = {}

    def letters(self, wanted: LetterFilter, since: datetime | None = None) -> Iterator[Letter]:
        yield from filter(wanted.takes, self.stored)

    def find(self, names: list[str]) -> dict[str, LetterPlace | None]:
        return {name: LetterPlace(0, int(name.partition(":")[2])) if ":" in name else None for name in names}

    def at(self, place: LetterPlace) -> Letter | None:
        return self.stored[place.offset] if place.offset < len(self.stored) else None

    def results(self, topic: str) -> TopicEnd:
        self.log.append(f"ends of {topic}")
        return TopicEnd(topic, {0: 5}, "id", "c")

    def announced_graphs(self) -> None:
        return None

    async def send(self, topic: str, key: bytes, value: bytes, headers: Any) -> None:
        self.log.append("send")
        if (error := self.refuses.get(self.log.count("send"))) is not None:
            raise error
        self.sent.append(decode_event(Record(topic, 0, 0, value, headers)))

    def close(self, timeout: float) -> None:
        self.log.append("close")


def replay(kafka: Kafka, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(dlq_replay, "DeadLetterTopic", lambda settings: kafka)
    monkeypatch.setattr(dlq_replay, "AckProducer", lambda config, limit_of: kafka)
    flags, given = read_command_line(["dlq", "replay", *arguments])
    return dlq_replay.replay_letters(load_settings(flags), given, filter_of(given))


def value(sent: WorkflowEvent) -> bytes:
    return encode(sent).value


def test_where_results_end_is_read_before_the_first_replay_is_out(monkeypatch):
    kafka = Kafka(value(event()), value(event()))
    assert replay(kafka, monkeypatch, "0:0", "0:1") == 0
    assert kafka.log == ["ends of workflow-results", "send", "send", "close"]


def test_the_deadline_is_renewed_and_no_later_than_workers_allow(monkeypatch):
    kafka = Kafka(value(event(deadline=datetime(2020, 1, 1, tzinfo=UTC))))
    before = datetime.now(UTC)
    replay(kafka, monkeypatch, "0:0", "--deadline-hours", "2")
    replay(kafka, monkeypatch, "0:0", "--deadline-hours", "9999", "--max-deadline-days", "1")
    after = datetime.now(UTC)
    for sent, hours in zip(kafka.sent, (2, 24), strict=True):
        assert sent.deadline is not None
        assert before <= sent.deadline - timedelta(hours=hours) <= after


def test_a_letter_that_cannot_be_replayed_costs_no_other(monkeypatch, capsys):
    first, last = event(), event()
    kafka = Kafka(value(first), b"{", value(last))
    assert replay(kafka, monkeypatch, "0:0", "0:1", "0:9", "unknown", "0:2") == 1
    assert [sent.event_id for sent in kafka.sent] == [replay_id(one.event_id, 1) for one in (first, last)]
    out, err = capsys.readouterr()
    assert [line.split(":")[1].partition("  ")[2] for line in out.splitlines() if line[0] == "0"] == [
        "sent",
        "not replayed",
        "not replayed",
        "sent",
    ]
    assert "2 letters replayed, 3 not" in err


def test_a_letter_that_is_too_large_for_kafka_costs_no_other(monkeypatch):
    kafka = Kafka(value(event()), value(event()))
    kafka.refuses[1] = SendError("too large", retriable=False, too_large=True)
    assert replay(kafka, monkeypatch, "0:0", "0:1") == 1
    assert len(kafka.sent) == 1


def test_when_kafka_goes_away_the_command_ends(monkeypatch):
    kafka = Kafka(value(event()), value(event()))
    kafka.refuses[1] = SendError("away", retriable=True)
    with pytest.raises(SendError):
        replay(kafka, monkeypatch, "0:0", "0:1")
    assert kafka.log[-2:] == ["send", "close"]


def test_two_letters_of_one_request_send_it_once(monkeypatch, capsys):
    asked = value(event())
    kafka = Kafka(asked, asked)
    assert replay(kafka, monkeypatch, "--text", "dag", "--yes") == 0
    assert len(kafka.sent) == 1
    assert "0:1  the same request as 0:0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "raises"),
    [(["--dry-run"], False), ([], True), (["--dry-run", "--yes"], False)],
    ids=["dry", "unsure", "both"],
)
def test_without_a_yes_nothing_is_sent(monkeypatch, capsys, flags, raises):
    kafka = Kafka(value(event()))
    if raises:
        with pytest.raises(SettingsError, match="nothing was sent"):
            replay(kafka, monkeypatch, "--text", "dag", *flags)
    else:
        assert replay(kafka, monkeypatch, "--text", "dag", *flags) == 0
    assert kafka.sent == []
    assert "would be sent" in capsys.readouterr().out


def test_each_letter_is_a_line_of_json(monkeypatch, capsys):
    asked = event()
    replay(Kafka(value(asked), b"{"), monkeypatch, "0:0", "0:1", "--json", "--number", "3")
    sent, refused = map(json.loads, capsys.readouterr().out.splitlines())
    handle = sent.pop("handle")
    new = str(replay_id(asked.event_id, 3))
    assert sent == {"place": "0:0", "status": "sent", "correlation_id": new, "of": str(asked.event_id), "number": 3}
    assert (handle["correlation_id"], handle["start_offsets"]) == (new, {"0": 5})
    assert (refused["place"], refused["status"]) == ("0:1", "refused")
