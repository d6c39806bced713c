"""What a person who looks at dead letters, and one who replays them, may do to Kafka at least."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from devtools.apache_kafka import ApacheKafka
from devtools.errors import MissingToolError
from devtools.kafka import real_kafka_required
from langgraph_worker.cli.command_line import main
from tests.support.guarded_kafka import Guarded, Right, guarded_kafka, worker_variables
from tests.support.worker import PLAIN, desk_of
from workflow_events.codec import Record, decode_event
from workflow_events.identity import replay_id

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

RIGHTS = (
    READ_LETTERS := Right("replayer", "Read", "dead_letters"),
    WRITE_EVENTS := Right("replayer", "Write", "events"),
    DESCRIBE_RESULTS := Right("replayer", "Describe", "results"),
    READ_GRAPHS := Right("replayer", "Read", "graphs"),
)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A broker where replayer has these rights; no worker runs."""
    try:
        broker: ApacheKafka = guarded_kafka("replayer")
    except MissingToolError as error:
        if real_kafka_required():
            raise
        pytest.skip(str(error))
    with broker, desk_of(broker, tmp_path_factory.mktemp("worker")) as desk:
        guarded = Guarded(broker, desk)
        for right in RIGHTS:
            guarded.grant(right)
        yield guarded


@pytest.fixture
def letter(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a dead letter; commands run as replayer."""
    for name, value in worker_variables(guarded.broker, "replayer").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LANGGRAPH_WORKER_FLEET", guarded.desk.kafka.prefix)
    event_id = str(uuid4())
    headers = [("dead-letter-error-type", b"worker_lost")]
    guarded.desk.kafka.produce(guarded.fleet.dead_letters, json.dumps({**PLAIN, "event_id": event_id}), headers=headers)
    return event_id


def test_with_these_rights_letters_are_seen_and_replayed(guarded, letter, capsys):
    assert main(["dlq", "list"]) == main(["dlq", "show", letter]) == 0
    assert capsys.readouterr().out.count(letter) >= 2
    assert main(["dlq", "replay", letter]) == 0
    [sent] = guarded.desk.kafka.read(guarded.fleet.events, 1)
    event = decode_event(Record(guarded.fleet.events, 0, 0, sent.value(), sent.headers()))
    assert str(event.replay.of) == letter
    assert event.event_id == replay_id(event.replay.of, 1)


def test_without_the_announcements_it_is_not_known_which_graphs_there_are(guarded, letter):
    with guarded.without(READ_GRAPHS):
        assert main(["dlq", "replay", letter, "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("right", "arguments"),
    [(READ_LETTERS, ["list"]), (DESCRIBE_RESULTS, ["replay"]), (WRITE_EVENTS, ["replay"])],
    ids=["letters", "results", "events"],
)
def test_without_one_of_them_the_command_says_what_is_missing(guarded, letter, capsys, right, arguments):
    with guarded.without(right):
        assert main(["dlq", *arguments, *([letter] if arguments == ["replay"] else [])]) == 1
    out, err = capsys.readouterr()
    assert guarded.name(right.place) in out + err


def test_the_page_lists_these_rights():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "replay-dead-letters.md").read_text()
    section = page.split("## Rights")[1].split("\n## ")[0]
    names = {"dead_letters": "events-dlq", "events": "events", "results": "results", "graphs": "graphs"}
    for right in RIGHTS:
        assert f"| {right.operation} | `workflow-{names[right.place]}` |" in section
