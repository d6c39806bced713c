"""Mutated events, 5,000 of them, each run, answered or dead-lettered: the short form of ``make fuzz``."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools.broker import Broker
from tests.fuzz.campaign import in_process, through_kafka
from tests.fuzz.mutator import Mutator

SEED = 20_260_601
FAILURES = Path(".cache/fuzz-failures")


def test_the_same_number_is_the_same_event():
    one, other = Mutator(SEED), Mutator(SEED)
    events = [one.event(number) for number in range(300)]
    assert [other.event(number) for number in reversed(range(300))] == events[::-1]
    assert Mutator(SEED + 1).event(7) != events[7]


@pytest.mark.timeout(120)
async def test_codec_and_acceptance_on_sqlite(tmp_path: Path):
    figures = await in_process(f"sqlite:///{tmp_path}/store.db", SEED, 3_700, FAILURES)
    assert {"fresh", "refused", "late", "resumed", "duplicate", "dead letter", "not allowed"} <= figures[
        "became"
    ].keys()
    ends = {"returned as json", "returned as text", "ResultRefusedError", "WaitError", "a line in a task's log"}
    assert ends <= figures["replies became"].keys()


@pytest.mark.integration
@pytest.mark.timeout(120)
async def test_codec_and_acceptance_on_postgres(postgres_url: str):
    await in_process(postgres_url, SEED, 800, FAILURES, first=3_700)


@pytest.mark.integration
@pytest.mark.timeout(120)
def test_through_kafka(real_broker: Broker, tmp_path: Path):
    figures = through_kafka(real_broker, tmp_path, SEED, 500, FAILURES, wave=250)
    assert figures["records passed"] > 0
    assert figures["written"] + figures["too large for the topic"] == 500
