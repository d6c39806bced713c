"""A real worker whose graphs tell all that they know: secrets are masked, and content leaves through the hook alone."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devtools.broker import Broker
from devtools.processes import wait_until
from tests.support.langfuse import LangfuseServer, langfuse_server
from tests.support.otlp import OtlpReceiver, otlp_receiver
from tests.support.planted_secrets import found_in
from tests.support.worker import GRAPHS, PLAIN, SECONDS, Desk, desk_of
from workflow_events import ResultStatus, WorkflowResultEvent
from workflow_events.headers import SCHEMA_VERSION

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LEAKY = GRAPHS / "leaky" / "langgraph.json"
IBAN = "DE02120300000000202051"
PIN = 773_391
CUSTOMER = {"name": "Erika", "iban": IBAN, "pin": PIN}


@dataclass(frozen=True)
class Leaky:
    """A worker whose traces hold content, and go to both receivers."""

    desk: Desk
    otlp: OtlpReceiver
    langfuse: LangfuseServer
    url: str

    def run(self, graph: str, **fields: Any) -> tuple[WorkflowResultEvent, list[str]]:
        """A run's result, and what its nodes have noted."""
        ledger = self.desk.folder / f"ledger-{uuid.uuid4().hex[:6]}"
        result = self.desk.run(graph, {"ledger": str(ledger), "customer": CUSTOMER}, **fields)
        return result, ledger.read_text().splitlines() if ledger.exists() else []

    def rows(self, query: str) -> list[Any]:
        if self.url.startswith("sqlite"):
            with sqlite3.connect(self.url.removeprefix("sqlite:///")) as connection:
                return connection.execute(query).fetchall()
        with psycopg.connect(self.url) as connection:
            return connection.execute(query).fetchall()

    def kept(self) -> str:
        """What the store keeps to be looked at."""
        rows = [
            *self.rows("SELECT input, output, error FROM step_executions"),
            *self.rows("SELECT message, traceback FROM workflow_errors"),
        ]
        replies = [bytes(row[0]).decode() for row in self.rows("SELECT reply_value FROM workflow_runs") if row[0]]
        return "\n".join([repr(rows), *replies])

    def records(self, topic: str) -> str:
        found = self.desk.kafka.read_all(topic)
        return "\n".join(repr((one.value(), one.headers())) for one in found)

    def spans(self, receiver: OtlpReceiver) -> str:
        return "\n".join(repr((one.name, one.attributes, one.error, one.events)) for one in receiver.spans)


@pytest.fixture(params=["sqlite", "postgres"])
def leaky(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Iterator[Leaky]:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    with (
        otlp_receiver() as otlp,
        langfuse_server() as langfuse,
        desk_of(
            broker,
            tmp_path,
            LEAKY,
            default_graph="spills",
            store_url=url,
            log_level="DEBUG",
            log_format="json",
            variables={
                **otlp.env,
                **langfuse.env,
                "OTEL_TRACES_EXPORTER": "otlp",
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
            },
        ) as desk,
        desk.worker,
    ):
        yield Leaky(desk, otlp, langfuse, url)


def clean(text: str) -> bool:
    return not found_in(text.encode()) and IBAN not in text and str(PIN) not in text


def test_a_run_goes_on_with_its_content_and_nothing_of_it_leaves(leaky: Leaky) -> None:
    desk, fleet = leaky.desk, leaky.desk.kafka.fleet
    result, ledger = leaky.run("spills")
    assert result.status is ResultStatus.SUCCESS
    assert ledger == ["tell", "tell", f"pay {IBAN} {PIN}"]  # the first by an error, which was repeated
    assert result.result["customer"] == {"name": "Erika", "iban": "[iban]", "pin": None}
    assert result.result["said"] == "key *** of https://acme:***@acme.test/api, account [iban]"
    assert desk.worker.child is not None
    log = desk.worker.child.output()
    told = [json.loads(line) for line in log.splitlines() if "told key" in line]
    assert told[0]["message"] == "told key *** of https://acme:***@acme.test/api, account [iban]"
    assert told[0]["customer"] == {"name": "Erika", "iban": "[iban]", "pin": None}
    wait_until("the spans", lambda: [one for one in leaky.otlp.spans if one.name == "node pay"], timeout=SECONDS)
    wait_until(
        "Langfuse's spans", lambda: [one for one in leaky.langfuse.received.spans if one.name == "pay"], timeout=SECONDS
    )
    for place, text in {
        "log": log,
        "store": leaky.kept(),
        "results": leaky.records(fleet.results),
        "progress": leaky.records(fleet.progress),
        "OTLP": leaky.spans(leaky.otlp),
        "Langfuse": leaky.spans(leaky.langfuse.received),
    }.items():
        assert clean(text), place
        assert "account [iban]" in text, place
        assert "key ***" in text, place
    own = next(one for one in leaky.otlp.spans if one.name == "tell" and "http.url" in one.attributes)
    assert own.attributes["http.url"] == "key *** of https://acme:***@acme.test/api, account [iban]"
    shown = desk.command("runs", "show", str(result.correlation_id), "--full").stdout
    as_json = json.loads(desk.command("runs", "show", str(result.correlation_id), "--json").stdout)
    assert clean(shown)
    assert "[iban]" in shown
    assert as_json["event"]["payload"]["data"]["customer"] == {"name": "Erika", "iban": "[iban]", "pin": None}
    assert as_json["event"]["event_id"] == str(result.correlation_id)


def test_questions_and_errors_leave_through_the_hook(leaky: Leaky) -> None:
    asked, _ = leaky.run("asks")
    assert asked.status is ResultStatus.INTERRUPTED
    question = asked.interrupts[0].value
    assert question == {"question": "key *** of https://acme:***@acme.test/api, account [iban]", "pin": None}
    shown = leaky.desk.command("runs", "show", str(asked.correlation_id)).stdout
    assert clean(shown)
    failed, _ = leaky.run("fails")
    assert (failed.status, failed.error_type) == (ResultStatus.FAILURE, "ValueError")
    assert failed.error == "node 'fail': ValueError: key *** of https://acme:***@acme.test/api, account [iban]"
    assert failed.traceback is not None
    assert "KeyError" in failed.traceback
    assert clean(f"{failed.traceback}{leaky.kept()}")


def test_a_result_that_the_hook_has_not_redacted_does_not_leave_and_is_not_lost(leaky: Leaky) -> None:
    desk = leaky.desk
    result, ledger = leaky.run("breaks_the_hook")
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.ERROR, "redaction_failed", False)
    assert result.error == (
        "the redaction hook of langgraph.json raised a ValueError, so that nothing of the run's success may leave the "
        "worker"
    )
    assert (result.result, result.traceback) == (None, None)
    (desk.folder / "mended").touch()
    resumed = json.loads(desk.command("runs", "resume", str(result.correlation_id), "--json").stdout.splitlines()[0])
    answered = desk.answer(uuid.UUID(resumed["correlation_id"]))
    assert answered.status is ResultStatus.SUCCESS
    assert answered.result["said"].endswith("account [iban] breaks the hook")
    assert ledger == ["break"]  # its node did not run again


def test_a_dead_letter_is_redacted_and_says_so(leaky: Leaky) -> None:
    desk = leaky.desk
    event = {**PLAIN, "event_id": str(uuid.uuid4()), "graph": "spills"}
    event["payload"] = {"data": {"customer": CUSTOMER}}
    desk.send(json.dumps(event), ((SCHEMA_VERSION, b"9.0"),))
    (letter,) = desk.kafka.read(desk.kafka.fleet.dead_letters, 1)
    body = json.loads(letter.value())
    assert body["payload"]["data"]["customer"] == {"name": "Erika", "iban": "[iban]", "pin": None}
    assert body["event_id"] == event["event_id"]
    assert dict(letter.headers())["dead-letter-redacted"] == b"true"
    place = f"{letter.topic()}[{letter.partition()}]@{letter.offset()}"
    refused = desk.command("dlq", "replay", place, code=1)
    assert "not replayed: its content was redacted when it was written" in refused.stdout
    shown = desk.command("dlq", "show", place).stdout
    assert "[iban]" in shown
    assert clean(shown)
