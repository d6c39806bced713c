"""Who asked for what."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from langgraph_worker.broker.port import SendError
from langgraph_worker.domain.audit import AuditEntry, Outcome
from langgraph_worker.errors import StoreError
from tests.support.fleet_api import FleetApi, problem
from tests.support.run_store import ask, event, ran, request
from workflow_events.results import ResultStatus


async def test_each_write_has_an_entry_with_who_what_and_from_where(api: FleetApi) -> None:
    client = api.client("operator")
    asked = UUID((await client.post("/runs", json={"graph": "graph"})).json()["correlation_id"])
    await client.post(f"/runs/{asked}/cancel")
    failed = (await ran(api.store, request(event()), ResultStatus.FAILURE)).correlation_id
    again = UUID((await client.post(f"/runs/{failed}/retry")).json()["correlation_id"])
    asking = (await ask(api.store, request(event()), "why")).correlation_id
    answers = {"answers": [{"value": 1}]}
    answer = UUID((await client.post(f"/runs/{asking}/answer", json=answers)).json()["correlation_id"])
    rows = (await api.audit.rows(10))[::-1]
    assert [(row.entry.action, row.entry.target) for row in rows] == [
        ("create_run", asked),
        ("cancel_run", asked),
        ("retry_run", again),
        ("answer_run", answer),
    ]
    assert {(row.entry.actor, row.entry.client, row.outcome) for row in rows} == {
        ("operator", "127.0.0.1", Outcome.SENT)
    }


async def test_what_is_refused_or_only_looked_at_has_none(api: FleetApi) -> None:
    client = api.client("operator")
    problem(await client.post("/runs", json={"grph": "a"}), 422)
    problem(await client.post(f"/runs/{uuid4()}/retry"), 404)
    problem(await api.client("viewer").post("/runs", json={}), 403)
    assert (await client.get("/runs")).status_code == 200
    assert await api.audit.rows(10) == []


async def test_an_entry_says_what_kafka_has_not_acknowledged(api: FleetApi) -> None:
    api.sent.error = SendError("away", retriable=True)
    problem(await api.client("operator").post("/runs", json={}), 503)
    [row] = await api.audit.rows(10)
    assert row.outcome is Outcome.NOT_ACKNOWLEDGED


async def test_nothing_is_sent_that_cannot_be_audited(api: FleetApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(entry: AuditEntry) -> int:
        raise StoreError("away")

    monkeypatch.setattr(api.audit, "begin", away)
    problem(await api.client("operator").post("/runs", json={}), 503)
    problem(await api.client("operator").post(f"/runs/{uuid4()}/cancel"), 503)
    assert (api.sent.requests, api.sent.controls) == ([], [])


async def test_what_was_sent_is_accepted_though_its_outcome_cannot_be_kept(
    api: FleetApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(seq: int, outcome: Outcome) -> None:
        raise StoreError("away")

    monkeypatch.setattr(api.audit, "settle", away)
    assert (await api.client("operator").post("/runs", json={})).status_code == 202
    assert len(api.sent.requests) == 1
    assert "has no outcome (sent): away" in caplog.text


async def test_an_admin_reads_the_audit_in_pages(api: FleetApi) -> None:
    operator, admin = api.client("operator"), api.client("admin")
    ids = [(await operator.post("/runs", json={})).json()["correlation_id"] for _ in range(5)]
    first = (await admin.get("/audit?limit=2")).json()
    assert [one["target"] for one in first["entries"]] == ids[:2:-1]
    second = (await admin.get(f"/audit?limit=3&page={first['next']}")).json()
    assert [one["target"] for one in second["entries"]] == ids[2::-1]
    assert second["next"] is None
    [one] = (await admin.get(f"/audit?target={ids[1]}")).json()["entries"]
    assert (one["actor"], one["action"], one["outcome"]) == ("operator", "create_run", "sent")
    assert problem(await admin.get("/audit?limit=0"), 422).startswith("query.limit: ")
    api.let_in("some", "admin", graphs='["risk"]')
    assert "the audit is of all runs" in problem(await api.client("some").get("/audit"), 403)
