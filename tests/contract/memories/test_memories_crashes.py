"""What a worker has put is there when another takes its run over, wherever the first was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.memory_life import NOTES, run, worker
from tests.support.run_store import answer, attempt, empty, request
from tests.support.runs import LEASE
from workflow_events.results import ResultStatus

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    found: str = request.getfixturevalue("contract_database")
    empty(found)
    return found


@pytest.mark.timeout(90)
@pytest.mark.parametrize("kill_at", ["put", "next", "asked"])
async def test_what_was_put_outlives_the_kill_of_its_worker(url, kill_at):
    killed = subprocess.run(  # noqa: ASYNC221  (nothing else is under way)
        [sys.executable, "-m", "tests.support.memory_life", url, kill_at], cwd=ROOT, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    points: list[str] = []
    async with worker(url, later=timedelta(seconds=2 * LEASE)) as (store, runner):
        if kill_at != "asked":
            [claim] = await store.claim("w2", 1, ["graph"])
            held = await runner.memories.memory_for(claim).aget(NOTES, "first")
            assert held is not None
            assert held.value == {"n": 1}
            outcome = await run(runner, claim, points.append)
            assert await store.finish(claim, outcome.result, outcome.failure)
            assert points == (["put", "next"] if kill_at == "put" else ["next"])
            [asked] = outcome.result.interrupts
            question = asked.id
        else:
            [row] = await store.read(lambda connection: connection.exec_driver_sql(QUESTIONS).all())
            question = row[0]
        await store.accept([request(answer(attempt(1), {question: "fine"}))])
        [claim] = await store.claim("w2", 1, ["graph"])
        outcome = await run(runner, claim, points.append)
        assert outcome.result.status is ResultStatus.SUCCESS, outcome
        assert outcome.result.result["log"] == ["first", "following", "fine", "asks", "first"]


QUESTIONS = "SELECT interrupt_id FROM interrupts"
