"""Asking for runs, cancelling them, going on with them, answering them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from langgraph_worker.broker.port import SendError
from langgraph_worker.domain.models import Decision
from langgraph_worker.domain.redaction import Redactor
from tests.support.fleet_api import FleetApi, problem
from tests.support.run_store import ask, attempt, claim_one, event, ran, request, result
from workflow_events.control import WorkflowCancelledEvent
from workflow_events.models import EventSource, EventType
from workflow_events.results import ResultStatus


async def post(
    api: FleetApi, path: str, body: Any = None, token: str = "operator", key: str | None = None
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await api.client(token).post(path, json=body, headers=headers)


async def taken_in(api: FleetApi, number: int = -1) -> Decision:
    """What a worker makes of a request that was sent."""
    sent = api.sent.requests[number]
    [one] = await api.store.accept([request(sent, sent.graph or "graph")])
    return one.decision


async def test_a_run_is_asked_for(api: FleetApi) -> None:
    answer = await post(
        api,
        "/runs",
        {
            "graph": "triage",
            "input": {"trade": 7},
            "context": {"desk": "fx"},
            "config": {"tags": ["night"]},
            "thread_id": "desk",
            "budget": {"tokens": 1000},
            "priority": 3,
            "workflow_id": "service",
            "metadata": {"environment": "prod"},
        },
    )
    assert answer.status_code == 202
    [sent] = api.sent.requests
    assert answer.json() == {"correlation_id": str(sent.event_id), "how": "run"}
    assert answer.headers["location"] == f"/api/v1/runs/{sent.event_id}"
    assert (sent.event_type, sent.source) == (EventType.WORKFLOW_TRIGGERED, EventSource.FASTAPI)
    assert (sent.graph, sent.payload.data, sent.context, sent.thread_id) == (
        "triage",
        {"trade": 7},
        {"desk": "fx"},
        "desk",
    )
    assert (sent.config.tags, sent.priority, sent.workflow_id) == (["night"], 3, "service")
    assert sent.workflow_run_id == str(sent.event_id)
    assert sent.budget is not None
    assert sent.budget.tokens == 1000
    assert sent.metadata.environment == "prod"
    assert sent.deadline is not None
    assert sent.deadline - sent.timestamp == timedelta(hours=24)
    assert await taken_in(api) is Decision.FRESH


async def test_the_least_that_asks_for_a_run(api: FleetApi) -> None:
    assert (await post(api, "/runs", {})).status_code == 202
    [sent] = api.sent.requests
    assert (sent.graph, sent.payload.data, sent.workflow_id) == (None, {}, "api")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"grph": "a"}, "body.grph: is not known. Did you mean 'graph'?"),
        ({"graph": 7}, "body.graph: Input should be a valid string"),
        ({"budget": {"tokns": 1}}, "body.budget.tokns: is not known. Did you mean 'tokens'?"),
        ({"budget": {"dag_run": {"tokns": 1}}}, "body.budget.dag_run.tokns: is not known. Did you mean 'tokens'?"),
        ({"config": {"tgs": ["a"]}}, "body.config.tgs: is not known. Did you mean 'tags'?"),
        ({"input": None}, "body.input: must not be null: for an empty input, leave it out"),
        ({"deadline": "2020-01-01T00:00:00Z"}, "body.deadline: has passed; give a time to come"),
        ({"context": {"a": 1}, "config": {"configurable": {"a": 2}}}, "body.context: config.configurable sets a as"),
        ({"event_id": str(UUID(int=1))}, "body.event_id: is not known"),
        ({"attempt": {}}, "body.attempt: is not known"),
        ({"reply_topic": "mine"}, "body.reply_topic: is not known"),
        ({"source": "airflow"}, "body.source: is not known"),
        ([], "body: "),
        ("graph", "body: "),
        (None, "body: "),
    ],
)
async def test_a_wrong_request_is_named_and_not_sent(api: FleetApi, body: Any, words: str) -> None:
    answer = await post(api, "/runs", body)
    assert problem(answer, 422).startswith(words)
    assert answer.json()["errors"][0]["field"] == words.partition(":")[0]
    assert api.sent.requests == []


async def test_what_is_no_json_is_said_to_be_none(api: FleetApi) -> None:
    client = api.client("operator")
    headers = {"Content-Type": "application/json"}
    for body in (b"{no", b"\xff\xfe", b'{"input": NaN'):
        answer = await client.post("/runs", content=body, headers=headers)
        assert problem(answer, 400).startswith("the body is no JSON"), answer.text
    deep = await client.post("/runs", content=b'{"input":' + b"[" * 200_000, headers=headers)
    assert deep.status_code in (400, 422)
    assert api.sent.requests == []


async def test_half_of_a_surrogate_pair_is_named(api: FleetApi) -> None:
    answer = await api.client("operator").post(
        "/runs", content=rb'{"input": {"text": "\ud800"}}', headers={"Content-Type": "application/json"}
    )
    assert "half of a surrogate pair" in problem(answer, 422)
    await post(api, "/runs", {}, key="k")
    await taken_in(api)
    answer = await api.client("operator").post(
        "/runs",
        content=rb'{"input": {"text": "\ud800"}}',
        headers={"Content-Type": "application/json", "Idempotency-Key": "k"},
    )
    assert "half of a surrogate pair" in problem(answer, 422)
    assert len(api.sent.requests) == 1


async def test_a_request_that_is_too_large_for_kafka_is_named(api: FleetApi) -> None:
    answer = await post(api, "/runs", {"input": {"text": "x" * 1_010_000}}, key="k")
    assert problem(answer, 413).startswith("nothing was sent: the workflow.triggered message of ")
    assert api.sent.requests == []
    assert (await post(api, "/runs", {"input": {"text": "x"}}, key="k")).status_code == 202  # it was not used up


async def test_the_same_key_is_the_same_run(api: FleetApi) -> None:
    body = {"graph": "graph", "input": {"n": 1}}
    first = await post(api, "/runs", body, key="order-7")
    again = await post(api, "/runs", body, key="order-7")  # it was not taken in yet
    assert first.json() == again.json()
    assert await taken_in(api, 0) is Decision.FRESH
    assert await taken_in(api, 1) is Decision.DUPLICATE
    assert (await post(api, "/runs", body, key="order-7")).json() == first.json()
    assert len({sent.event_id for sent in api.sent.requests}) == 1
    other = await post(api, "/runs", body, key="order-8")
    of_another = await post(api, "/runs", body, token="admin", key="order-7")
    assert len({answer.json()["correlation_id"] for answer in (first, other, of_another)}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"input": {"n": 2}},
        {"input": {"n": 1.0}},
        {"input": {"n": True}},
        {"priority": 1},
        {"thread_id": "t"},
        {"workflow_id": "other"},
        {"workflow_run_id": "other"},
        {"deadline": "2199-01-01T00:00:00Z"},
    ],
)
async def test_a_key_that_was_used_for_something_else_is_refused(api: FleetApi, change: dict[str, Any]) -> None:
    body = {"graph": "graph", "input": {"n": 1}}
    await post(api, "/runs", body, key="k")
    answer = await post(api, "/runs", {**body, **change}, key="k")
    assert problem(answer, 409).startswith("this idempotency key has asked for run ")
    assert answer.json()["errors"][0]["field"] == "header.idempotency-key"
    await taken_in(api)
    problem(await post(api, "/runs", {**body, **change}, key="k"), 409)
    assert len(api.sent.requests) == 1


async def test_of_different_requests_with_one_key_one_is_sent(api: FleetApi) -> None:
    client = api.client("operator", api.app())
    bodies = [{"graph": "graph", "input": {"n": number}} for number in range(10)]
    answers = await asyncio.gather(
        *(client.post("/runs", json=body, headers={"Idempotency-Key": "k"}) for body in bodies)
    )
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9
    assert len(api.sent.requests) == 1


@pytest.mark.parametrize("key", ["", "x" * 257])
async def test_what_is_no_key_is_refused(api: FleetApi, key: str) -> None:
    answer = await post(api, "/runs", {}, key=key)
    assert problem(answer, 422).lower().startswith("header.idempotency-key: ")


async def test_two_keys_or_tokens_are_refused(api: FleetApi) -> None:
    client = api.client(None)
    twice = [("Authorization", "Bearer operator"), ("Authorization", "Bearer viewer")]
    assert "the header authorization is there 2 times" in problem(await client.post("/runs", headers=twice), 400)
    keys = [("Authorization", "Bearer operator"), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert "the header idempotency-key is there 2 times" in problem(await client.post("/runs", headers=keys), 400)


async def test_what_no_worker_could_read_is_not_sent(api: FleetApi) -> None:
    nested: Any = 1
    for _ in range(245):
        nested = [nested]
    detail = problem(await post(api, "/runs", {"input": nested}, key="k"), 422)
    assert detail.startswith("nothing was sent, for no worker could read it: ")
    assert (await post(api, "/runs", {"input": [1]}, key="k")).status_code == 202  # the key was not used up


async def test_a_body_of_another_kind_is_refused(api: FleetApi) -> None:
    for headers in ({}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "text/plain"}):
        answer = await api.client("operator").post("/runs", content=b'{"graph": "graph"}', headers=headers)
        assert "`Content-Type: application/json`" in problem(answer, 415)
    assert api.sent.requests == []


async def test_a_limited_token_asks_for_its_own_graphs_alone(api: FleetApi) -> None:
    api.let_in("risk", "operator", graphs='["risk"]')
    api.let_in("prod", "operator", deployments='["prod"]')
    assert (await post(api, "/runs", {"graph": "risk"}, "risk")).status_code == 202
    assert "may not run the graph 'other'" in problem(await post(api, "/runs", {"graph": "other"}, "risk"), 403)
    assert problem(await post(api, "/runs", {}, "risk"), 422) == (
        "body.graph: must be given: the token 'risk' may run only risk"
    )
    assert "may not run requests of no Airflow task" in problem(await post(api, "/runs", {"graph": "a"}, "prod"), 403)
    assert len(api.sent.requests) == 1


async def test_a_run_is_cancelled(api: FleetApi) -> None:
    asked = request(event())
    await api.store.accept([asked])
    answer = await post(api, f"/runs/{asked.event.event_id}/cancel", {"reason": "halt"})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    [sent] = api.sent.controls
    assert isinstance(sent, WorkflowCancelledEvent)
    assert (sent.correlation_id, sent.reason, sent.requested_by) == (asked.event.event_id, "halt", "operator")


async def test_what_may_still_come_and_what_asks_can_be_cancelled(api: FleetApi) -> None:
    nowhere = uuid4()
    assert (await post(api, f"/runs/{nowhere}/cancel")).json() == {"correlation_id": str(nowhere), "status": "unknown"}
    asking = (await ask(api.store, request(event()), "why")).correlation_id
    assert (await post(api, f"/runs/{asking}/cancel")).json()["status"] == "interrupted"
    assert len(api.sent.controls) == 2


async def test_what_has_ended_is_not_cancelled(api: FleetApi) -> None:
    done = (await ran(api.store, request(event()))).correlation_id
    answer = await post(api, f"/runs/{done}/cancel")
    assert problem(answer, 409) == f"run {done} has ended (success): there is nothing to cancel"
    assert problem(await post(api, f"/runs/{done}/cancel", {"why": "x"}), 422) == "body.why: is not known"
    assert api.sent.controls == []


async def test_a_failed_run_goes_on(api: FleetApi) -> None:
    failed = (await ran(api.store, request(event()), ResultStatus.FAILURE)).correlation_id
    answer = await post(api, f"/runs/{failed}/retry")
    assert (answer.status_code, answer.json()["how"]) == (202, "continuation")
    [sent] = api.sent.requests
    assert (sent.source, sent.replay and sent.replay.of) == (EventSource.FASTAPI, failed)
    assert await taken_in(api) is Decision.RESUMED


async def test_a_failed_task_is_retried(api: FleetApi) -> None:
    failed = (await ran(api.store, request(attempt()), ResultStatus.FAILURE)).correlation_id
    assert (await post(api, f"/runs/{failed}/retry")).json()["how"] == "retry"
    assert await taken_in(api) is Decision.RESUMED


async def test_what_cannot_go_on_says_why(api: FleetApi) -> None:
    done = (await ran(api.store, request(event()))).correlation_id
    assert "there is nothing to go on with" in problem(await post(api, f"/runs/{done}/retry"), 409)
    asking = (await ask(api.store, request(event()), "why")).correlation_id
    detail = problem(await post(api, f"/runs/{asking}/retry"), 409)
    assert detail.endswith(f". Answer it: POST /api/v1/runs/{asking}/answer")
    waiting = request(event())
    await api.store.accept([waiting])
    assert "wait for it, or cancel it first" in problem(await post(api, f"/runs/{waiting.event.event_id}/retry"), 409)
    assert api.sent.requests == []


async def test_a_question_in_a_problem_is_redacted(api: FleetApi) -> None:
    asking = (await ask(api.store, request(event()), "why-DE1234")).correlation_id
    api.redactor = Redactor(["why-DE1234?"])  # what is asked; its id is no content
    detail = problem(await post(api, f"/runs/{asking}/retry"), 409)
    assert "waits for a person: why-DE1234" in detail
    assert '"***"' in detail
    assert "why-DE1234?" not in detail


async def test_a_question_is_answered(api: FleetApi) -> None:
    asking = (await ask(api.store, request(event()), "why")).correlation_id
    answer = await post(api, f"/runs/{asking}/answer", {"answers": [{"value": {"ok": True}}]})
    assert (answer.status_code, answer.json()["how"]) == (202, "answer")
    [sent] = api.sent.requests
    assert (sent.source, sent.answers_to, sent.round) == (EventSource.FASTAPI, asking, 1)
    [given] = sent.answers
    assert (given.interrupt_id, given.value, given.answered_by) == ("why", {"ok": True}, "operator")
    assert await taken_in(api) is Decision.ANSWER


async def test_a_wrong_answer_is_named(api: FleetApi) -> None:
    asking = (await ask(api.store, request(event()), "a", "b")).correlation_id
    path = f"/runs/{asking}/answer"
    none = problem(await post(api, path, {"answers": [{"interrupt_id": "a", "value": 1}, {"value": 2}]}), 422)
    assert none == "body.answers.1.interrupt_id: there are 2 questions. Say which each answers (a, b)"
    other = await post(api, path, {"answers": [{"interrupt_id": "c", "value": 1}]})
    assert "does not ask 'c', but a, b" in problem(other, 422)
    both = {"answers": [{"interrupt_id": "a", "value": 1}, {"interrupt_id": "a", "value": 2}]}
    assert "has two that differ" in problem(await post(api, path, both), 422)
    assert problem(await post(api, path, {"answers": []}), 422).startswith("body.answers: ")
    assert problem(await post(api, path, {"answers": [{"amount": 1}]}), 422)
    done = (await ran(api.store, request(event()))).correlation_id
    assert "asks nothing" in problem(await post(api, f"/runs/{done}/answer", {"answers": [{"value": 1}]}), 409)
    assert api.sent.requests == []


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (SendError("kafka.internal is away", retriable=True), 503, "Kafka has not acknowledged the message"),
        (SendError("kafka.internal: no such topic", retriable=False), 503, "Kafka has not acknowledged the message"),
        (SendError("the record has 9 bytes", retriable=False, too_large=True), 413, "the record has 9 bytes"),
    ],
)
async def test_what_kafka_has_not_is_not_accepted(
    api: FleetApi, caplog: pytest.LogCaptureFixture, error: Exception, status: int, words: str
) -> None:
    api.sent.error = error
    answer = await post(api, "/runs", {"graph": "graph"})
    assert problem(answer, status).startswith(words)
    assert "kafka.internal" not in answer.text
    assert ("retry-after" in answer.headers) is getattr(error, "retriable", False)


async def test_a_write_is_in_the_log(api: FleetApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await post(api, "/runs", {"graph": "graph"})
    await api.client("operator").get("/runs")
    said = [record.getMessage() for record in caplog.records if getattr(record, "action", "") == "api_write"]
    assert said == ["operator (operator) from 127.0.0.1: POST /api/v1/runs"]


async def test_many_clients_with_one_key_get_one_run(api: FleetApi) -> None:
    app = api.app()
    client = api.client("operator", app)
    body = json.dumps({"graph": "graph"})
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answers = await asyncio.gather(*(client.post("/runs", content=body, headers=headers) for _ in range(20)))
    assert len({answer.json()["correlation_id"] for answer in answers}) == 1
    for number in range(20):
        await taken_in(api, number)
    await claim_one(api.store)  # the only one


async def test_a_repeated_answer_is_the_same_run(api: FleetApi) -> None:
    asking = (await ask(api.store, request(event()), "why")).correlation_id
    path, body = f"/runs/{asking}/answer", {"answers": [{"value": 1}]}
    first = await post(api, path, body, key="k")
    assert (await post(api, path, body, key="k")).json() == first.json()  # Kafka did not answer the first time
    assert await taken_in(api, 0) is Decision.ANSWER
    assert await taken_in(api, 1) is Decision.DUPLICATE
    assert (await post(api, path, body, key="k")).json() == first.json()
    problem(await post(api, path, {"answers": [{"value": 2}]}, key="k"), 409)
    assert len(api.sent.requests) == 2


async def test_a_repeated_retry_is_the_same_run(api: FleetApi) -> None:
    failed = (await ran(api.store, request(event()), ResultStatus.FAILURE)).correlation_id
    first = await post(api, f"/runs/{failed}/retry", key="k")
    assert (await post(api, f"/runs/{failed}/retry", key="k")).json() == first.json()
    assert await taken_in(api, 0) is Decision.RESUMED
    assert (await post(api, f"/runs/{failed}/retry", key="k")).json() == first.json()
    claim = await claim_one(api.store)
    await api.store.finish(claim, result(claim, ResultStatus.FAILURE))
    assert (await post(api, f"/runs/{failed}/retry", key="k")).json() == first.json()  # and no second retry
    assert len({sent.event_id for sent in api.sent.requests}) == 1
    assert (await post(api, f"/runs/{failed}/retry", key="other")).json() != first.json()


async def test_a_limited_token_cancels_what_it_has_asked_for_before_it_was_taken_in(api: FleetApi) -> None:
    api.let_in("risk", "operator", graphs='["risk"]')
    mine = (await post(api, "/runs", {"graph": "risk"}, "risk")).json()["correlation_id"]
    other = (await post(api, "/runs", {"graph": "risk"})).json()["correlation_id"]
    assert (await post(api, f"/runs/{mine}/cancel", token="risk")).json()["status"] == "unknown"
    problem(await post(api, f"/runs/{other}/cancel", token="risk"), 404)
    assert [str(message.correlation_id) for message in api.sent.controls] == [mine]


async def test_work_of_which_a_token_sees_only_a_part_is_not_steered(api: FleetApi) -> None:
    api.let_in("risk", "operator", graphs='["risk"]')
    first, second = request(attempt(1), "other"), request(attempt(2), "risk")
    await api.store.accept([first])
    claim = await claim_one(api.store, graph="other")
    await api.store.finish(claim, result(claim, ResultStatus.FAILURE))
    await api.store.accept([second])
    claim = await claim_one(api.store, graph="risk")
    await api.store.finish(claim, result(claim, ResultStatus.FAILURE))
    for what, body in (("retry", None), ("answer", {"answers": [{"value": 1}]})):
        answer = await post(api, f"/runs/{second.event.event_id}/{what}", body, "risk")
        assert "of which the token 'risk' may not see every request" in problem(answer, 403)
        assert str(first.event.event_id) not in answer.text
    attempts = await api.client("risk").get(f"/runs/{second.event.event_id}/attempts")
    assert [run["graph"] for run in attempts.json()["attempts"]] == ["risk"]
    everything = await api.client("viewer").get(f"/runs/{second.event.event_id}/attempts")
    assert [run["graph"] for run in everything.json()["attempts"]] == ["other", "risk"]
