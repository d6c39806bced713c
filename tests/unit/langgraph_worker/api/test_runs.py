"""Looking at runs."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from langgraph_worker.domain.models import Failure, Step, StepStatus, WorkerInfo
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.errors import StoreError
from tests.support.fleet_api import FleetApi, problem
from tests.support.run_store import START, ask, attempt, claim_one, event, ran, request, result
from workflow_events.control import PauseScope
from workflow_events.results import ResultStatus


async def listed(api: FleetApi, query: str = "", token: str = "viewer") -> list[UUID]:
    answer = await api.client(token).get(f"/runs{query}")
    assert answer.status_code == 200, answer.text
    return [UUID(run["correlation_id"]) for run in answer.json()["runs"]]


async def accept(api: FleetApi, graph: str = "graph", **changes: object) -> UUID:
    asked = request(event(**changes), graph)  # type: ignore[arg-type]
    await api.store.accept([asked])
    return asked.event.event_id


async def test_runs_are_found_by_what_fits(api: FleetApi) -> None:
    done = (await ran(api.store, request(event()))).correlation_id
    await api.store.accept([request(event(), "other")])
    claim = await claim_one(api.store, graph="other")
    await api.store.finish(claim, result(claim, ResultStatus.FAILURE))
    failed = claim.correlation_id
    waiting = await accept(api, workflow_id="nightly", workflow_run_id="r7", thread_id="desk")
    assert await listed(api) == [waiting, failed, done]
    assert await listed(api, "?status=failure&status=pending") == [waiting, failed]
    assert await listed(api, "?graph=other") == [failed]
    assert await listed(api, "?workflow_id=nightly&workflow_run_id=r7") == [waiting]
    assert await listed(api, "?thread=desk") == [waiting]
    assert await listed(api, "?error_type=nothing") == []
    assert await listed(api, f"?since={(START + timedelta(days=1)).isoformat().replace('+', '%2B')}") == []
    assert await listed(api, "?before=2026-03-02T00:00:00Z&order_by=-accepted_at") == [waiting, failed, done]


async def test_pages_leave_out_nothing(api: FleetApi) -> None:
    accepted = [await accept(api) for _ in range(5)]
    client, page, found = api.client("viewer"), None, []
    for expected in (2, 2, 1):
        params = {"limit": 2} | ({} if page is None else {"page": page})
        body = (await client.get("/runs", params=params)).json()
        assert len(body["runs"]) == expected
        found += [UUID(run["correlation_id"]) for run in body["runs"]]
        page = body["next"]
    assert page is None
    assert found == accepted[::-1]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("gra_ph=a", "query.gra_ph: is not known. Did you mean 'graph'?"),
        ("status=failed", "query.status.0: Input should be 'pending', 'running', 'success'"),
        ("limit=0", "query.limit: Input should be greater than or equal to 1"),
        ("limit=1001", "query.limit: Input should be less than or equal to 1000"),
        ("page=xx", "query.page: 'xx' is the `next` of no page; leave it out for the first page"),
        ("page=20260301T000000.0-99999999999999999999999", "query.page: "),
        ("graph=" + "x" * 600, "query.graph: String should have at most 512 characters"),
        ("since=yesterday", "query.since: "),
        ("order_by=graph", "query.order_by: Input should be '-accepted_at'"),
        ("graph=", "query.graph: String should have at least 1 character"),
        ("graph=%00", "query.graph: must hold no NUL character"),
        ("zzzzzzz=1", "query.zzzzzzz: is not known"),
    ],
)
async def test_a_wrong_query_is_named(api: FleetApi, query: str, words: str) -> None:
    answer = await api.client("viewer").get(f"/runs?{query}")
    assert problem(answer, 422).startswith(words)
    assert answer.json()["errors"][0]["field"] == words.partition(":")[0]


async def test_a_run_is_shown_with_what_it_asks_and_waits_for(api: FleetApi) -> None:
    client = api.client("viewer")
    asked = request(event(data={"n": 1}))
    await ask(api.store, asked, "why")
    shown = (await client.get(f"/runs/{asked.event.event_id}")).json()
    assert shown["status"] == "interrupted"
    assert shown["event"]["payload"]["data"] == {"n": 1}
    [question] = shown["questions"]
    assert (question["interrupt_id"], question["state"]) == ("why", "pending")
    assert "steps" not in shown
    waiting = await accept(api)
    await api.store.pause([PauseChange(PauseScope.FLEET, "", True, START, reason="trading halt")])
    shown = (await client.get(f"/runs/{waiting}")).json()
    assert shown["waits_for"]["pause"]["reason"] == "trading halt"
    assert shown["result"] is None
    assert (await client.get(f"/runs/{waiting}/result")).json() is None
    assert (await client.get("/pauses")).json()["pauses"][0]["reason"] == "trading halt"


async def test_steps_errors_and_attempts_have_places_of_their_own(api: FleetApi) -> None:
    first = request(attempt(1))
    await api.store.accept([first])
    claim = await claim_one(api.store)
    steps = [
        Step(f"s{number}", "", "node", None, StepStatus.COMPLETED, START + timedelta(seconds=number % 3), output=number)
        for number in range(7)
    ]
    await api.store.record(claim, steps)
    await api.store.finish(claim, result(claim, ResultStatus.FAILURE), Failure("ValueError", "no luck", "Traceback"))
    again = request(attempt(2))
    await api.store.accept([again])
    client, page, found = api.client("viewer"), None, []
    for _ in range(4):
        params = {"limit": 2} | ({} if page is None else {"page": page})
        body = (await client.get(f"/runs/{claim.correlation_id}/steps", params=params)).json()
        found += [step["step_id"] for step in body["steps"]]
        page = body["next"]
    assert page is None
    assert found == ["s0", "s3", "s6", "s1", "s4", "s2", "s5"]
    [error] = (await client.get(f"/runs/{claim.correlation_id}/errors")).json()["errors"]
    assert (error["error_type"], error["message"], error["attempt"]) == ("ValueError", "no luck", 1)
    attempts = (await client.get(f"/runs/{again.event.event_id}/attempts")).json()["attempts"]
    assert [one["try_number"] for one in attempts] == [1, 2]
    wrong = await client.get(f"/runs/{claim.correlation_id}/steps?page=nothing")
    assert problem(wrong, 422).startswith("query.page: 'nothing' is the `next` of no page")


async def test_what_is_not_there_is_a_problem(api: FleetApi) -> None:
    client, nowhere = api.client("viewer"), uuid4()
    for part in ("", "/steps", "/errors", "/attempts", "/result"):
        detail = problem(await client.get(f"/runs/{nowhere}{part}"), 404)
        assert detail.startswith(f"there is no run {nowhere} that this token may see")
    assert problem(await client.get("/runs/abc"), 422).startswith("path.correlation_id: Input should be a valid UUID")


async def test_a_limited_token_sees_its_own_runs_alone(api: FleetApi) -> None:
    api.let_in("risk", "operator", graphs='["risk"]')
    api.let_in("prod", "operator", deployments='["prod"]')
    api.let_in("plain", "operator", deployments='[""]')
    of_prod, of_test = (
        request(attempt(at=number, task=name, deployment=name), "risk") for number, name in ((1, "prod"), (2, "test"))
    )
    plain = request(event(), "other")
    await api.store.accept([of_prod, of_test, plain])
    assert len({of_prod.event.event_id, of_test.event.event_id, plain.event.event_id}) == 3
    ids = {name: one.event.event_id for name, one in {"prod": of_prod, "test": of_test, "plain": plain}.items()}
    sees = {"risk": {"prod", "test"}, "prod": {"prod"}, "plain": {"plain"}, "viewer": set(ids)}
    for token, names in sees.items():
        assert set(await listed(api, token=token)) == {ids[name] for name in names}, token
        client = api.client(token)
        for name, one in ids.items():
            for part in ("", "/steps", "/errors", "/attempts", "/result"):
                answer = await client.get(f"/runs/{one}{part}")
                assert answer.status_code == (200 if name in names else 404), (token, name, part)
            if token != "viewer" and name not in names:
                for what, body in (("cancel", None), ("retry", None), ("answer", {"answers": [{"value": 1}]})):
                    problem(await client.post(f"/runs/{one}/{what}", json=body), 404)
    assert (api.sent.requests, api.sent.controls) == ([], [])


async def test_the_fleet_is_shown_as_far_as_a_token_may_see(api: FleetApi) -> None:
    api.let_in("risk", "viewer", graphs='["risk"]')
    for worker in ("a", "b"):
        graphs = {"risk": "Watches risk", "other": ""} if worker == "a" else {"risk": "Watches risk"}
        await api.store.announce(WorkerInfo(worker, "1.0", "events", "group", graphs))
    pauses = [
        PauseChange(PauseScope.GRAPH, "risk", True, START),
        PauseChange(PauseScope.GRAPH, "other", True, START),
        PauseChange(PauseScope.WORKFLOW, "nightly", True, START),
    ]
    await api.store.pause(pauses)
    everything, some = api.client("viewer"), api.client("risk")
    graphs = (await everything.get("/graphs")).json()["graphs"]
    assert [(graph["name"], graph["workers"]) for graph in graphs] == [("other", 1), ("risk", 2)]
    assert [graph["name"] for graph in (await some.get("/graphs")).json()["graphs"]] == ["risk"]
    workers = (await everything.get("/workers")).json()["workers"]
    assert [(worker["worker_id"], worker["graphs"]) for worker in workers] == [
        ("a", ["other", "risk"]),
        ("b", ["risk"]),
    ]
    assert [worker["graphs"] for worker in (await some.get("/workers")).json()["workers"]] == [["risk"], ["risk"]]
    assert len((await everything.get("/pauses")).json()["pauses"]) == 3
    assert [pause["name"] for pause in (await some.get("/pauses")).json()["pauses"]] == ["risk"]


async def test_content_is_redacted(api: FleetApi) -> None:
    asked = request(event(data={"account": "DE-1234"}, context={"iban": "DE-1234"}))
    await api.store.accept([asked])
    claim = await claim_one(api.store)
    step = Step("s", "", "node", None, StepStatus.COMPLETED, START, input="DE-1234", output={"of": "DE-1234"})
    await api.store.record(claim, [step])
    await api.store.finish(claim, result(claim, ResultStatus.FAILURE), Failure("E", "DE-1234", "DE-1234"))
    api.redactor = Redactor(["DE-1234"])
    client = api.client("viewer")
    for part in ("", "/steps", "/errors", "/result", "/attempts"):
        answer = await client.get(f"/runs/{asked.event.event_id}{part}")
        assert answer.status_code == 200
        assert "DE-1234" not in answer.text


async def test_where_the_hook_fails_nothing_is_shown(api: FleetApi) -> None:
    def fails(place: str, value: object, path: str) -> object:
        raise RuntimeError("DE-1234")

    asked = request(event(data={"account": "DE-1234"}))
    await api.store.accept([asked])
    api.redactor = Redactor(hook=fails)
    detail = problem(await api.client("viewer").get(f"/runs/{asked.event.event_id}"), 500)
    assert detail == "the project's redaction hook failed, so nothing may be shown; the API's log says why"


class _Away:
    async def find(self, *_: object) -> None:
        raise StoreError("connection to postgres.internal as risk_user refused")


class _Broken:
    async def find(self, *_: object) -> None:
        raise ZeroDivisionError("inside")


async def test_a_store_that_is_away_is_a_problem_that_names_no_host(
    api: FleetApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.views = _Away()  # type: ignore[assignment]
    detail = problem(await api.client("viewer").get("/runs"), 503)
    assert detail == "the run store cannot be used now; the API's log says why"
    assert "postgres.internal as risk_user refused" in caplog.text


async def test_an_error_of_the_api_itself_shows_no_traceback(api: FleetApi) -> None:
    api.views = _Broken()  # type: ignore[assignment]
    detail = problem(await api.client("viewer").get("/runs"), 500)
    assert detail == "GET /api/v1/runs failed by an error of the API itself; its log has the traceback"
