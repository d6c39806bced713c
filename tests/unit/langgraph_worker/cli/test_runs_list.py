from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from langgraph_worker.cli.runs.filters import read_filter
from langgraph_worker.cli.runs.list_runs import lasted
from langgraph_worker.cli.text_table import table
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.errors import SettingsError, StoreError
from tests.support.run_store import attempt, claim_one, event, request, result
from workflow_events.results import ResultStatus


async def some_runs(store):
    """Three: a success, a failure, and one that waits; the oldest first."""
    names = []
    for number, status in enumerate((ResultStatus.SUCCESS, ResultStatus.FAILURE)):
        asked = request(event(attempt(1, task=f"t{number}", at=1_000 + number), workflow_id=f"dag_{number}"))
        await store.accept([asked])
        claim = await claim_one(store)
        error_type = "RateLimitError" if status is ResultStatus.FAILURE else None
        await store.finish(claim, result(claim, status, error_type=error_type, error=error_type))
        names.append(asked.event.event_id)
    waiting = request(event(workflow_id="dag_2"), "another")
    await store.accept([waiting])
    return [*names, waiting.event.event_id]


def ids(printed) -> list[str]:
    return [line.split()[0] for line in printed.out.splitlines()[1:]]


def test_runs_are_listed_newest_first(runs):
    first, second, third = runs.worked(some_runs)
    printed = runs.call("list")
    assert (printed.code, printed.err) == (0, "")
    head, *rows = printed.out.splitlines()
    assert head.split() == ["ID", "STATUS", "GRAPH", "DAG", "RUN", "TRY", "ACCEPTED", "TOOK", "ERROR"]
    assert [row.split()[:6] for row in rows] == [
        [str(third)[:8], "pending", "another", "dag_2", "run", "-"],
        [str(second)[:8], "failure", "graph", "dag_1", "run", "1"],
        [str(first)[:8], "success", "graph", "dag_0", "run", "1"],
    ]
    assert rows[1].endswith("RateLimitError")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--status", "failure"], [1]),
        (["--status", "FAILURE,pending"], [2, 1]),
        (["--status", "success", "--status", "pending"], [2, 0]),
        (["--graph", "another"], [2]),
        (["--dag", "dag_0"], [0]),
        (["--run", "run", "--status", "success"], [0]),
        (["--error", "RateLimitError"], [1]),
        (["--since", "1h"], [2, 1, 0]),
        (["--before", "1h"], []),
    ],
)
def test_filters_choose(runs, words, found):
    names = runs.worked(some_runs)
    assert ids(runs.call("list", *words)) == [str(names[number])[:8] for number in found]


def test_the_next_page_is_named(runs):
    names = [str(name)[:8] for name in runs.worked(some_runs)]
    first = runs.call("list", "--limit", "2")
    assert ids(first) == [names[2], names[1]]
    assert "the next page: the same command with --page " in first.err
    second = runs.call("list", "--limit", "2", "--page", first.err.split()[-1])
    assert ids(second) == [names[0]]
    assert second.err == ""


def test_each_line_is_json(runs):
    _, second, _ = runs.worked(some_runs)
    [line] = runs.call("list", "--json", "--status", "failure").out.splitlines()
    run = json.loads(line)
    times = {name: datetime.fromisoformat(run.pop(name)) for name in ("accepted_at", "started_at", "finished_at")}
    assert times["accepted_at"] <= times["started_at"] <= times["finished_at"] <= datetime.now(UTC)
    assert UUID(run.pop("thread_id"))
    assert run == {
        "correlation_id": str(second),
        "status": "failure",
        "decision": "fresh",
        "graph": "graph",
        "workflow_id": "dag_1",
        "workflow_run_id": "run",
        "try_number": 1,
        "replay": 0,
        "round": 0,
        "thread_name": None,
        "attempts": 1,
        "worker_id": "w1",
        "error_type": "RateLimitError",
        "deployment": "here",
    }


def test_a_graph_that_nobody_knows_is_named(runs):
    async def announce(store):
        await store.announce(WorkerInfo("w", "1", "events", "group", {"risk_desk": ""}))

    runs.worked(announce)
    printed = runs.call("list", "--graph", "riskdesk")
    assert (printed.code, printed.out) == (0, "")
    assert printed.err == (
        "langgraph-worker: no run fits: no worker has announced a graph 'riskdesk' today. Did you mean 'risk_desk'? "
        "There are: risk_desk\n"
    )
    assert runs.call("list", "--graph", "risk_desk").err == "langgraph-worker: no run fits\n"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["--status", "failed"],
            "--status 'failed': there is no such status. Did you mean 'failure'? There are pending",
        ),
        (["--limit", "0"], "--limit '0': must be a number from 1 to 1,000"),
        (["--limit", "9" * 5000], "must be a number from 1 to 1,000"),
        (["--page", "2"], "--page '2': take the key"),
        (["--since", "yesterday"], "--since 'yesterday': is no time. Write it as 2026-11-30"),
        (["--since", "999999d"], "is no time"),
        (["--graph", ""], "--graph: must not be empty"),
        (["--dag", "\udcff"], "--dag: the value is not UTF-8"),
    ],
)
def test_a_wrong_option_is_named(runs, words, why):
    with pytest.raises(SettingsError) as error:
        runs.call("list", *words)
    assert why in str(error.value)


def test_times_are_utc_unless_they_name_a_zone(runs):
    from langgraph_worker.cli.command_line import read_command_line

    def since(text: str) -> datetime | None:
        _, arguments = read_command_line(["runs", "list", "--since", text])
        return read_filter(arguments, datetime(2026, 11, 30, 12, tzinfo=UTC)).since

    assert since("2026-11-30") == datetime(2026, 11, 30, tzinfo=UTC)
    assert since("2026-11-30T08:15+02:00") == datetime(2026, 11, 30, 6, 15, tzinfo=UTC)
    assert since("90m") == datetime(2026, 11, 30, 12, tzinfo=UTC) - timedelta(minutes=90)


def test_a_store_that_is_not_there_is_named(runs):
    with pytest.raises(StoreError, match="does not exist: name the worker's in LANGGRAPH_WORKER_STORE_URL"):
        runs.call("list")


async def test_runs_are_listed_beside_a_worker_that_holds_the_store(runs):
    import asyncio

    from langgraph_worker.store.sql.run_store import SqlRunStore

    store = SqlRunStore(runs.url)
    await store.open()
    asked = request(event())
    await store.accept([asked])
    printed = await asyncio.to_thread(runs.call, "list")
    assert ids(printed) == [str(asked.event.event_id)[:8]]
    await store.close()


def test_what_others_wrote_drives_no_terminal(runs):
    async def work(store):
        await store.accept([request(event(workflow_id="\x1b[2J\n\u202ered", workflow_run_id="日本" * 40))])

    runs.worked(work)
    printed = runs.call("list")
    assert "\\x1b[2J\\n\\u202ered" in printed.out
    assert not set(printed.out) & {"\x1b", "\u202e"}
    assert len(printed.out.splitlines()) == 2
    assert runs.call("list", "--json").out.isascii()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.01, "0.01 s"), (119, "119 s"), (120, "2 min 0 s"), (7199, "119 min 59 s"), (69_236, "19 h 13 min")],
)
def test_a_time_is_written_as_people_say_it(seconds, words):
    assert lasted(timedelta(seconds=seconds)) == words


def test_a_table_fits():
    lines = table(("A", "B"), [("x" * 50, "y"), ("short", "日本日本日本日本")], width=24)
    assert lines == [
        "A            B",
        "xxxxxxxxxx…  y",
        "short        日本日本日…",
    ]
    assert table(("A",), [("x" * 1000,)], width=10) == ["A", "xxxxxxxxx…"]
