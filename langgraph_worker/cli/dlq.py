"""``langgraph-worker dlq list | show | replay``: look at dead letters, and send their requests again."""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Mapping
from typing import Literal, assert_never

from langgraph_worker.cli.dlq_lines import facts_of, line_of, lines_of
from langgraph_worker.cli.dlq_replay import replay_letters
from langgraph_worker.cli.dlq_topic import DeadLetterTopic
from langgraph_worker.domain.faults import FAULTS
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.graphs.command_redactor import command_redactor
from langgraph_worker.publishing.letters import Letter, LetterFilter
from langgraph_worker.publishing.redacted_records import shown_record
from langgraph_worker.settings.load import load_settings
from workflow_events.nearest_name import did_you_mean
from workflow_events.plain_text import one_line


def dlq(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Run one of the commands: 0, or 1 if a letter could not be replayed.

    :raises WorkerError: the settings are wrong, Kafka cannot be read, or a letter is not there.
    """
    settings = load_settings(flags)
    command: Literal["list", "show", "replay"] = arguments.dlq_command
    match command:
        case "list":
            wanted = filter_of(arguments)
            return _list(DeadLetterTopic(settings), wanted, arguments, command_redactor(settings))
        case "show":
            return _show(DeadLetterTopic(settings), arguments, command_redactor(settings))
        case "replay":
            return replay_letters(settings, arguments, filter_of(arguments))
        case other:
            assert_never(other)


def filter_of(arguments: argparse.Namespace) -> LetterFilter:
    """The letters that a command line chooses.

    :raises SettingsError: no letter can have such a reason.
    """
    known = {fault.name for fault in FAULTS if fault.dead_letter}
    for reason in arguments.reason:
        if reason not in known:
            raise SettingsError(
                f"--reason {one_line(reason)}: no dead letter of this version has this reason."
                f"{did_you_mean(reason, known)} It may be {', '.join(sorted(known))}"
            )
    return LetterFilter(
        reasons=frozenset(arguments.reason),
        graph=arguments.graph,
        workflow_id=arguments.dag,
        workflow_run_id=arguments.run,
        text=arguments.text,
    )


def _list(topic: DeadLetterTopic, wanted: LetterFilter, arguments: argparse.Namespace, redactor: Redactor) -> int:
    lines: deque[str] = deque(maxlen=arguments.last)
    count = 0
    for letter in topic.letters(wanted, arguments.since):
        letter = Letter.of(shown_record(redactor, letter.record))
        line = json.dumps(facts_of(letter)) if arguments.as_json else line_of(letter)
        count += 1
        if arguments.last is None:
            print(line)
        else:
            lines.append(line)
    for line in lines:
        print(line)
    sys.stdout.flush()
    if not count:
        print(f"langgraph-worker: {topic.name} has no such dead letter", file=sys.stderr)
    return 0


def _show(topic: DeadLetterTopic, arguments: argparse.Namespace, redactor: Redactor) -> int:
    name = arguments.letter
    place = topic.find([name])[name]
    letter = None if place is None else topic.at(place)
    if letter is None:
        raise WorkerError(
            f"{topic.name} has no dead letter {one_line(name)}, or not any more: its retention removes them"
        )
    letter = Letter.of(shown_record(redactor, letter.record))
    for line in lines_of(letter, arguments.full):
        print(line)
    sys.stdout.flush()
    return 0
