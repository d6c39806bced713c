"""``langgraph-worker forget`` beside a running worker: what it removed does not run again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from devtools.broker import Broker
from tests.support.worker import Desk, desk_of
from workflow_events import ResultStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.fixture(params=["sqlite", "postgres"])
def desk(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Iterator[Desk]:
    store = {"store_url": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}
    with desk_of(broker, tmp_path, **store) as desk, desk.worker:
        yield desk


def test_what_is_forgotten_does_not_run_again(desk: Desk) -> None:
    gate, other = desk.gate(), desk.gate()
    gate.open()
    forgotten = desk.ask("gated", gate.data)
    assert desk.answer(forgotten).status is ResultStatus.SUCCESS
    running = desk.ask("gated", other.data)
    other.wait_for("waiting")
    desk.command("forget", str(running), "--yes", code=1)
    assert f"request {forgotten}" in desk.command("forget", str(forgotten), "--yes").stdout
    desk.command("runs", "show", str(forgotten), code=1)
    again = desk.ask("gated", gate.data, event_id=str(forgotten))
    assert UUID(str(again)) == forgotten
    after = desk.ask("echo", {"task": "behind it"})
    assert desk.answer(after).status is ResultStatus.SUCCESS
    assert gate.ledger == ["first", "waiting", "passed", "last"]
    other.open()
    assert desk.answer(running).status is ResultStatus.SUCCESS
