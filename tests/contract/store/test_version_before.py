"""Beside workers of the version before: what this one writes, as their statements read it, and the reverse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, update

from langgraph_worker.store.migrations.schema import lineages, workflow_runs
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import attempt, claim_one, driver_url, event, request
from workflow_events.models import RunConfig

NAMES = frozenset({"fetch", "desk", "desk|buy", "desk|buy|check"})


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.integration)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/store.db"


def nodes_of_the_only_lineage(url: str, new: Any = None) -> Any:
    """The column as it is, after it was set to ``new``, if that is given."""
    engine = create_engine(driver_url(url))
    with engine.begin() as connection:
        if new is not None:
            connection.execute(update(lineages).values(nodes=new))
        found = connection.execute(select(lineages.c.nodes)).scalar_one()
    engine.dispose()
    return found


async def test_a_worker_of_the_version_before_finds_the_names_that_it_knows(url: str) -> None:
    store = SqlRunStore(url)
    await store.open()
    try:
        await store.accept([request(attempt(1))])
        claim = await claim_one(store)
        await store.remember_nodes(claim, NAMES)
        await store.release(claim)
        stored = nodes_of_the_only_lineage(url)
        assert frozenset(stored) == {"fetch", "desk"}  # as it reads them
        assert (await claim_one(store)).nodes == NAMES
    finally:
        await store.close()


async def test_the_names_that_a_worker_of_the_version_before_wrote_are_known(url: str) -> None:
    store = SqlRunStore(url)
    await store.open()
    try:
        await store.accept([request(attempt(1))])
        nodes_of_the_only_lineage(url, ["desk", "fetch"])
        assert (await claim_one(store)).nodes == {"desk", "fetch"}
    finally:
        await store.close()


@pytest.mark.parametrize(("asked", "more"), [(None, set()), (5, {"keep_checkpoints"})])
async def test_an_event_names_no_setting_that_is_not_set(url: str, asked: int | None, more: set[str]) -> None:
    """A worker of the version before could not read the run that it is to take over."""
    store = SqlRunStore(url)
    await store.open()
    try:
        await store.accept([request(event(attempt(1), config=RunConfig(keep_checkpoints=asked)))])
        engine = create_engine(driver_url(url))
        with engine.connect() as connection:
            [body] = connection.execute(select(workflow_runs.c.event)).scalars()
        engine.dispose()
        assert json.loads(body)["config"].keys() == {"tags", "recursion_limit", "model", "configurable"} | more
        assert (await claim_one(store)).event.config.keep_checkpoints == asked
    finally:
        await store.close()
