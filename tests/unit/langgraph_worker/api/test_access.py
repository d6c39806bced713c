"""Who may do what: every route, walked with every kind of client."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from fastapi.routing import APIRoute

from langgraph_worker.api.access import OPEN_PATHS, ROLES, Role
from tests.support.fleet_api import FleetApi, problem

ID = str(UUID(int=7))


def routes(api: FleetApi) -> Iterator[tuple[str, str, str]]:
    """Method, path below the prefix, and operation of each route behind a token."""
    for route in api.app().routes:
        assert isinstance(route, APIRoute), f"{route} is no route of the table"
        if route.path in OPEN_PATHS:
            continue
        [method] = route.methods
        assert route.operation_id is not None
        yield method, route.path.removeprefix("/api/v1").replace("{correlation_id}", ID), route.operation_id


async def test_the_table_has_each_route_and_nothing_else(api: FleetApi) -> None:
    found = [operation for _, _, operation in routes(api)]
    assert sorted(found) == sorted(ROLES)


async def test_nobody_gets_in_without_a_token(api: FleetApi) -> None:
    client = api.client(None)
    for method, path, _ in routes(api):
        for header in (None, "", "Bearer", "Bearer ", "Basic operator", "operator", "Bearer nobody", "Bearer a b"):
            headers = {} if header is None else {"Authorization": header}
            answer = await client.request(method, path, headers=headers)
            problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_role_may_do_what_the_table_says(api: FleetApi) -> None:
    clients = {role: api.client(role.value) for role in Role}
    for method, path, operation in routes(api):
        for role, client in clients.items():
            answer = await client.request(method, path)
            if role.includes(ROLES[operation]):
                assert answer.status_code not in (401, 403), (method, path, role, answer.text)
            else:
                detail = problem(answer, 403)
                assert detail.startswith(f"{operation} needs the role {ROLES[operation].value}")
    assert api.sent.requests == []
    assert [message.correlation_id for message in api.sent.controls] == [UUID(ID)] * 2  # cancels of what may come


async def test_what_is_nowhere_needs_a_token_too(api: FleetApi) -> None:
    stranger, admin = api.client(None), api.client("admin")
    for path in ("/nothing", "http://api/docs", "http://api/openapi.json", "http://api/redoc", "http://api/"):
        problem(await stranger.get(path), 401)
        problem(await admin.get(path), 404)
    assert "PUT is not what" in problem(await admin.put("/runs"), 405)


async def test_health_is_open(api: FleetApi) -> None:
    answer = await api.client(None).get("http://api/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_route_that_is_not_in_the_table_is_served_to_nobody(
    api: FleetApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langgraph_worker.api.parts.ROLES", {})
    assert "a role that nobody has" in problem(await api.client("admin").get("/runs"), 403)


async def test_the_description_names_each_operation_and_its_problems(api: FleetApi) -> None:
    described = (await api.client("viewer").get("/openapi.json")).json()
    operations = {
        operation["operationId"]: operation for path in described["paths"].values() for operation in path.values()
    }
    assert set(operations) == set(ROLES)
    for operation in operations.values():
        problem_schema = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert problem_schema == {"$ref": "#/components/schemas/ProblemDocument"}
        assert operation["security"] == [{"HTTPBearer": []}]
