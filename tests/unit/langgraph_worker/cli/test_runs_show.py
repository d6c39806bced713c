from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from uuid import UUID

import pytest

from langgraph_worker.domain.models import Failure, Step, StepStatus
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, Retried
from langgraph_worker.errors import SettingsError
from langgraph_worker.operations.store_access import NotFoundError
from tests.support.run_store import answer, ask, attempt, claim_one, event, refusal, request, result
from workflow_events.control import PauseScope
from workflow_events.models import WorkflowEventPayload
from workflow_events.results import ModelUsage, ResultStatus

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, TWO, THREE = (UUID(f"abcd{name}-0000-4000-8000-000000000001") for name in ("1111", "2222", "3333"))


def sections(printed) -> list[list[str]]:
    return [section.splitlines() for section in printed.out.split("\n\n")]


async def one_run(store):
    """A run that failed once, went on, and succeeded."""
    await store.accept([request(event(attempt(), event_id=ONE, data={"task": "sum up"}))])
    claim = await claim_one(store)
    steps = [
        Step("s1", "", "research", None, StepStatus.COMPLETED, AT, AT.replace(second=2), {"in": 1}, {"out": "x" * 9}),
        Step("s2", "sub", "write", "bob", StepStatus.FAILED, AT.replace(second=2), AT.replace(second=3), error="no"),
    ]
    await store.record(claim, steps)
    failure = Failure("RateLimitError", "slow down", "Traceback: here", "write", ErrorClass.RATE_LIMIT, "gpt", 0.0)
    await store.back_off(claim, BackOff(ErrorClass.RATE_LIMIT, 0.0, Retried()), failure)
    claim = await claim_one(store)
    usage = {"gpt": ModelUsage(input_tokens=1200, output_tokens=34, total_tokens=1234, requests=2, cost_usd=0.0123)}
    await store.finish(claim, result(claim, value={"answer": "42"}, usage=usage))


def test_what_was_asked_and_answered_comes_first(runs):
    runs.worked(one_run)
    printed = runs.call("show", str(ONE))
    asked, facts, usage, steps, errors = sections(printed)
    assert asked == ['input      {"task": "sum up"}', 'result     success: {"answer": "42"}']
    assert facts[:3] == [f"run        {ONE}", "graph      graph", "dag        dag, run run, try 1"]
    assert facts[-1].endswith("; its result is not published yet")
    assert any(line.endswith(" on w1, 2 starts") for line in facts)
    assert usage == [
        "MODEL  CALLS  TOKENS IN  TOKENS OUT  US DOLLARS",
        "gpt    2      1,200      34          0.0123",
    ]
    assert steps == [
        "STEP             STATUS     STARTED              TOOK   START OF THE RUN  ERROR",
        "research         COMPLETED  2026-03-01 12:00:00  2.0 s  1",
        "sub|write (bob)  FAILED     2026-03-01 12:00:02  1.0 s  1                 no",
    ]
    assert errors[0].endswith(", start 1 of the run in write")
    assert errors[1:] == [
        "           RateLimitError: slow down",
        "           rate_limit, model gpt, goes on after 0.00 s",
    ]


def test_all_of_it_is_shown_on_demand(runs):
    runs.worked(one_run)
    out = runs.call("show", str(ONE), "--full").out
    assert "step research: completed, 2026-03-01 12:00:00, 2.0 s, start 1 of the run\n" in out
    assert '  got      {\n             "in": 1\n           }\n' in out
    assert "           Traceback: here\n" in out


def test_a_beginning_of_an_id_is_enough(runs):
    async def work(store):
        await store.accept([request(event(event_id=name)) for name in (ONE, TWO)])

    runs.worked(work)
    assert f"run        {TWO}" in runs.call("show", "ABCD2").out
    with pytest.raises(NotFoundError, match=f"'abcd': several runs begin so: {ONE}, {TWO}. Give more of the id"):
        runs.call("show", "abcd")
    with pytest.raises(
        NotFoundError, match="has no run 'ffff': it was pruned or forgotten, its event was not taken in yet, or"
    ):
        runs.call("show", "ffff")
    with pytest.raises(SettingsError, match="'last' is no beginning of an id"):
        runs.call("show", "last")


def test_a_run_as_json(runs):
    runs.worked(one_run)
    run = json.loads(runs.call("show", "abcd", "--json").out)
    assert run["event"]["payload"]["data"] == {"task": "sum up"}
    assert run["result"]["result"] == {"answer": "42"}
    assert run["usage"]["gpt"]["cost_usd"] == 0.0123
    assert [(step["node"], step["namespace"], step["output"]) for step in run["steps"]] == [
        ("research", "", {"out": "x" * 9}),
        ("write", "sub", None),
    ]
    assert [(error["error_class"], error["wait_seconds"], error["attempt"]) for error in run["errors"]] == [
        ("rate_limit", 0.0, 1)
    ]
    assert [one["correlation_id"] for one in run["requests"]] == [str(ONE)]
    assert (run["status"], run["generation"], run["takeovers"]) == ("success", 1, 0)


def test_a_question_is_shown_with_its_answer(runs):
    async def work(store):
        await ask(store, request(event(attempt(), event_id=ONE)), "sure")
        await store.accept([request(answer(attempt(), {"sure": "yes"}, event_id=TWO, round=1))])

    runs.worked(work)
    asked, question, _, requests = sections(runs.call("show", str(ONE)))
    assert asked[1] == "result     interrupted: null"
    assert question == [
        'question   sure: "sure?"',
        "           it waits for: langgraph-worker runs resume abcd1111 --answer JSON",
    ]
    assert [line.split()[0] for line in requests] == ["all", "ID", "abcd1111", "abcd2222"]
    assert sections(runs.call("show", str(TWO)))[0] == [
        'answer     sure by ann: "yes"',
        "result     none yet: it is pending",
    ]


def waiting_line(runs, name: UUID) -> str:
    lines = runs.call("show", str(name)).out.splitlines()
    return next(line for line in lines if line.startswith(("waits", "goes on")))


def test_a_run_that_waits_says_what_for(runs):
    async def work(store):
        await store.accept([request(event(event_id=ONE, thread_id="talk"))])
        await claim_one(store)
        await store.accept([request(event(event_id=TWO, thread_id="talk")), request(event(event_id=THREE))])

    runs.worked(work)
    assert waiting_line(runs, TWO) == f"waits      for request {ONE}, which runs on its thread"
    assert waiting_line(runs, THREE) == (
        "waits      for a slot; 1 run of graph graph runs now, on all workers. If its max_running is no more, one of "
        "them has to end first"
    )

    async def pause(store):
        await store.pause([PauseChange(PauseScope.FLEET, "", is_on=True, changed_at=AT, reason="closed")])

    runs.worked(pause)
    assert waiting_line(runs, THREE).startswith("waits      the fleet is paused since 2026-03-01 12:00:00 UTC: closed")
    printed = json.loads(runs.call("show", str(THREE), "--json").out)["waits_for"]
    assert (printed["pause"]["reason"], printed["running"], printed["thread_holder"]) == ("closed", 1, None)


@pytest.mark.parametrize(
    ("turns", "why"),
    [({"openai:big": (7,)}, ", shortly before its turn to call openai:big"), ({}, "")],
)
def test_a_run_that_waits_for_a_model_does_not_name_an_error_of_an_earlier_start(runs, turns, why):
    async def work(store):
        await store.accept([request(event(event_id=ONE))])
        claim = await claim_one(store)
        failure = Failure("E", "slow down", "", None, ErrorClass.RATE_LIMIT, "gpt", 0.0)
        await store.back_off(claim, BackOff(ErrorClass.RATE_LIMIT, 0.0, Retried()), failure)
        await store.release(await claim_one(store), 4_000.0, retried=Retried(turns=turns))

    runs.worked(work)
    assert re.fullmatch(rf"goes on    in [0-9,]+ s{why}", waiting_line(runs, ONE))


def test_a_refused_request_shows_why(runs):
    async def work(store):
        await store.accept([refusal(ONE)])

    runs.worked(work)
    assert sections(runs.call("show", "abcd"))[0] == ["result     error, invalid_event: field 'payload': wrong"]


def test_a_long_value_is_cut_with_a_hint(runs):
    async def work(store):
        await store.accept([request(event(event_id=ONE, data={"text": "x" * 5_000}))])

    runs.worked(work)
    [line, _] = sections(runs.call("show", "abcd"))[0]
    assert line.endswith("x… (3,012 more characters; --full shows them)")
    assert "x" * 5_000 in runs.call("show", "abcd", "--full").out


def test_what_agents_wrote_drives_no_terminal(runs):
    async def work(store):
        bad = "\x1b]0;title\x07\u009b2J\u202e\r\nrun        forged"
        await store.accept([request(event(event_id=ONE, payload=WorkflowEventPayload(data={"a": bad})))])
        claim = await claim_one(store)
        await store.record(claim, [Step(bad, bad, bad, bad, StepStatus.FAILED, AT, error=bad)])
        failure = Failure(bad, bad, bad, bad)
        wrong = result(claim, ResultStatus.FAILURE, error=bad, error_type=bad)
        await store.finish(claim, wrong, failure)

    runs.worked(work)
    for words in (["show", "abcd"], ["show", "abcd", "--full"], ["show", "abcd", "--json"], ["list"]):
        out = runs.call(*words).out
        assert all(char.isprintable() or char == "\n" for char in out)
        assert [line for line in out.splitlines() if line.startswith("run        forged")] == []
