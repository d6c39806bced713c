"""``dlq``: which letters a command line means, and how a letter is shown."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from langgraph_worker.cli.command_line import main, read_command_line
from langgraph_worker.cli.dlq_lines import MOST_BODY_CHARACTERS, facts_of, line_of, lines_of
from langgraph_worker.cli.dlq_options import since
from langgraph_worker.cli.dlq_replay import ReplayRules
from langgraph_worker.publishing.letters import Letter
from langgraph_worker.publishing.replay import NotReplayableError, prepare
from tests.support.run_store import event
from workflow_events.codec import Record, encode

AT = datetime(2026, 11, 30, 19, tzinfo=UTC)
NASTY = "\x1b[2J\x9b0m\u202edag\nnext"


def letter(value: bytes | None, *headers: tuple[str, bytes], at: datetime = AT) -> Letter:
    return Letter.of(Record("dlq", 0, 17, value, list(headers), timestamp_ms=int(at.timestamp() * 1000)))


def of_event(at: datetime = AT, **changes) -> Letter:
    return letter(encode(event(**changes)).value, ("dead-letter-error-type", b"worker_lost"), at=at)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(days=7)),
        ("9s", timedelta(seconds=9)),
    ],
)
def test_a_span_is_counted_back_from_now(text, ago):
    before = datetime.now(UTC)
    assert before <= since(text) + ago <= datetime.now(UTC)


def test_a_time_without_a_zone_is_utc():
    assert since("2026-11-30T18:00") == since("2026-11-30T19:00+01:00") == datetime(2026, 11, 30, 18, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-1h", "9999999d", "2026-13-01"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
        since(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--last", "0"],
        ["list", "--since", "soon"],
        ["show"],
        ["replay", "0:1", "--number", "0"],
        ["replay", "0:1", "--deadline-hours", "nan"],
        ["replay", "0:1", "--deadline-hours", "0"],
        [],
    ],
)
def test_a_wrong_command_line_is_refused_before_anything_is_read(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["dlq", *arguments])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "why"), [([], "name letters, or choose them"), (["0:1", "--graph", "g"], "not both")]
)
def test_a_replay_needs_letters_or_filters(arguments, why, capsys):
    assert main(["dlq", "replay", *arguments]) == 2
    assert why in capsys.readouterr().err


def test_the_commands_have_the_settings_as_flags():
    flags, arguments = read_command_line(["dlq", "list", "--fleet", "risk", "--reason", "a", "--reason", "b"])
    assert (flags, arguments.reason) == ({"fleet": "risk"}, ["a", "b"])


def test_a_letter_is_one_printable_line_whatever_it_holds():
    shown = letter(
        encode(event(workflow_id=NASTY, graph="desk")).value,
        ("dead-letter-error-type", b"\x1b[31mred\xff"),
        ("dead-letter-reason", b"no\nsuch\x00thing " * 1_000),
        ("dead-letter-attempts", b"4"),
    )
    line = line_of(shown)
    assert line.isprintable()
    assert line.startswith("0:17  2026-11-30 19:00:00 UTC  without an error type  \\x1b[2J")
    assert "graph desk" in line
    assert "4 starts" in line
    assert len(line) < 700


def test_a_letter_in_full_is_printable_and_bounded():
    lines = list(lines_of(of_event(data={"x": NASTY * 2_000}), full=False))
    assert all(line.isprintable() for line in lines)
    assert "more characters; --full shows them" in lines[-1]
    assert sum(map(len, lines)) < 4 * MOST_BODY_CHARACTERS
    whole = list(lines_of(of_event(data={"x": NASTY * 2_000}), full=True))
    assert all(line.isprintable() for line in whole)
    assert whole[-1] == "    }"


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (letter(b"\xff\x00\x1b[2J"), "    \\xff\\x00\\x1b[2J"),
        (letter(None), "    (none)"),
        (
            letter(None, ("dead-letter-body-omitted-bytes", b"5000")),
            "    (its 5,000 bytes were too large for this topic, and ",
        ),
        (letter(b"[" * 50_000), "    [[["),
    ],
    ids=["no text", "no body", "body omitted", "nested"],
)
def test_a_body_that_is_no_json_is_shown_as_text(shown, text):
    lines = list(lines_of(shown, full=False))
    assert any(line.startswith(text) for line in lines[lines.index("event:") :])


def test_headers_are_shown_as_text():
    lines = list(lines_of(letter(b"{}", ("evil\x1b", b"\x1b[31m\xff")), full=False))
    assert "    evil\\x1b: \\x1b[31m\\xff" in lines


def test_the_facts_of_a_letter_hold_no_input():
    facts = facts_of(of_event(data={"secret": 1}))
    assert facts == facts | {"place": "0:17", "reason": "worker_lost", "workflow_id": "dag", "replay": 0}
    assert "secret" not in str(facts)


RULES = ReplayRules(frozenset({"workflow-results"}), frozenset({"desk", "quote"}), AT - timedelta(days=30))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (
            of_event(at=AT - timedelta(days=31)),
            "keeps what ended for LANGGRAPH_WORKER_RETENTION_DAYS only.*--past-retention",
        ),
        (of_event(reply_topic="elsewhere"), "'elsewhere' is not allowed.*LANGGRAPH_WORKER_ALLOWED_REPLY_TOPICS"),
        (of_event(graph="desl"), "no worker of the fleet serves graph 'desl'. Known: desk, quote.*'desk'"),
    ],
    ids=["forgotten", "reply topic", "graph"],
)
def test_what_could_not_run_or_would_run_beside_a_newer_attempt_is_refused(wrong, why):
    with pytest.raises(NotReplayableError, match=f"(?s){why}"):
        RULES.check(wrong, prepare(wrong, AT, 1_000_000))


def test_what_can_run_is_not_refused():
    for fine in (of_event(), of_event(graph="desk"), of_event(reply_topic="workflow-results", event_id=uuid4())):
        RULES.check(fine, prepare(fine, AT, 1_000_000))
    lenient = ReplayRules(frozenset(), None, None)
    old = of_event(at=AT - timedelta(days=99), graph="whatever")
    lenient.check(old, prepare(old, AT, 1_000_000))


@pytest.mark.parametrize("command", ["list", "replay"])
def test_a_reason_that_no_letter_has_is_refused_before_anything_is_read(command, capsys):
    assert main(["dlq", command, "--reason", "worker_lots"]) == 2
    error = capsys.readouterr().err
    assert "--reason worker_lots: no dead letter of this version has this reason. Did you mean 'worker_lost'?" in error
    assert "event_too_large, invalid_event" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["runs", "fork", "1a2b"],
            "langgraph-worker runs fork: one of the arguments --checkpoint --before is required.",
        ),
        (["dlq", "show"], "langgraph-worker dlq show: the following arguments are required: PLACE|ID."),
    ],
)
def test_what_is_wrong_with_a_command_line_is_one_line(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(said)
    assert line.endswith(f"`langgraph-worker {' '.join(arguments[:2])} --help` shows what it takes")
