"""A conversation of many runs on one thread: how much its checkpoints take, and what each run costs.

    python -m benchmarks.conversations [--turns 300] [--keep 20] [store URL]

Without ``--keep``, the worker's default. 0 shows a store that removes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import operator
import secrets
import tempfile
import time
from statistics import mean, median
from typing import Annotated, Any, NamedTuple, TypedDict

from langgraph.graph import START, StateGraph
from sqlalchemy import create_engine, text

from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.models import Claim, Origin, Request
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.engines.postgres import server_url
from langgraph_worker.store.sql.run_store import SqlRunStore
from workflow_events.models import EventSource, EventType, WorkflowEvent, WorkflowEventPayload
from workflow_events.results import ResultStatus, WorkflowResultEvent

_MESSAGE_BYTES = 750  # random, so that no database stores less by compressing; 1,000 characters of text
_SIZES = {
    "sqlite": {
        "checkpoints": "SELECT sum(length(checkpoint) + length(metadata)) FROM checkpoints",
        "writes": "SELECT sum(length(value)) FROM writes",
    },
    "postgresql": {
        "checkpoints": "SELECT sum(pg_column_size(checkpoint) + pg_column_size(metadata)) FROM checkpoints",
        "checkpoint_blobs": "SELECT sum(pg_column_size(blob)) FROM checkpoint_blobs",
        "checkpoint_writes": "SELECT sum(pg_column_size(blob)) FROM checkpoint_writes",
    },
}


class Talk(TypedDict):
    messages: Annotated[list[str], operator.add]


def _said() -> str:
    return secrets.token_urlsafe(_MESSAGE_BYTES)


def build() -> Any:
    """A person says something, one node looks it up, another answers: four checkpoints."""
    builder = StateGraph(Talk)
    builder.add_node("look_up", lambda state: {"messages": [_said()]})
    builder.add_node("answer", lambda state: {"messages": [_said()]})
    builder.add_edge(START, "look_up")
    builder.add_edge("look_up", "answer")
    return builder.compile()


class Spent(NamedTuple):
    """The milliseconds of one run: of all of it, of its end alone, and of this process's processor time at its end."""

    run: float
    end: float
    processor: float


async def talk(url: str, turns: int, keep: int) -> list[Spent]:
    """Run them all, one after another."""
    store = SqlRunStore(url, keep_checkpoints=keep)
    await store.open()
    try:
        checkpoints = Checkpoints(store)
        await checkpoints.setup()
        return [await _turn(store, checkpoints, number) for number in range(turns)]
    finally:
        await store.close()


async def _turn(store: SqlRunStore, checkpoints: Checkpoints, number: int) -> Spent:
    asked = WorkflowEvent(
        event_type=EventType.WORKFLOW_TRIGGERED,
        source=EventSource.AIRFLOW,
        workflow_id="dag",
        workflow_run_id=f"run-{number}",
        payload=WorkflowEventPayload(data={"messages": [_said()]}),
        thread_id="talk",
    )
    await store.accept([Request(asked, "g", "results", Origin("c", "events", 0, number))])
    [claim] = await store.claim("bench", 1, ["g"])
    graph = build().copy(update={"checkpointer": checkpoints.saver_for(claim)})
    began = time.perf_counter()
    await graph.ainvoke({"messages": [_said()]}, {"configurable": {"thread_id": claim.thread_id}}, durability="sync")
    ran, processor = time.perf_counter(), time.process_time()
    assert await store.finish(claim, _result(claim))
    ended, used = time.perf_counter(), time.process_time()
    await store.published([claim.correlation_id])
    return Spent((ended - began) * 1_000, (ended - ran) * 1_000, (used - processor) * 1_000)


def _result(claim: Claim) -> WorkflowResultEvent:
    return WorkflowResultEvent(
        correlation_id=claim.correlation_id, workflow_id="dag", workflow_run_id="run", status=ResultStatus.SUCCESS
    )


def sizes(url: str) -> dict[str, tuple[int, int]]:
    """The rows and the bytes of each table with checkpoints: of the values alone, without the tables' own."""
    engine = create_engine(server_url(url) if url.startswith("postgres") else url)
    try:
        with engine.connect() as connection:
            found = _SIZES[engine.dialect.name]
            return {
                table: (
                    connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one(),
                    connection.execute(text(query)).scalar_one() or 0,
                )
                for table, query in found.items()
            }
    finally:
        engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--keep", type=int, default=WorkerSettings.model_fields["keep_checkpoints"].default)
    parser.add_argument("url", nargs="?")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or f"sqlite:///{folder}/store.db"
        spent = asyncio.run(talk(url, given.turns, given.keep))
        print(f"{given.turns} turns, {given.keep} checkpoints kept (0: all)")
        for name, values in zip(Spent._fields, zip(*spent, strict=True), strict=True):
            print(f"{name}: median {median(values):.1f} ms, mean {mean(values):.1f} ms, longest {max(values):.1f} ms")
        for table, (rows, size) in sizes(url).items():
            print(f"{table}: {rows:,} rows, {size / 1e6:,.2f} MB")


if __name__ == "__main__":
    main()
