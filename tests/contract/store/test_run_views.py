"""What people read of the store: lists with filters and pages, and one run with all that is kept of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from langgraph_worker.domain.models import Cancel, Failure, Step, StepStatus
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.domain.retry_policy import BackOff, ErrorClass, Retried
from langgraph_worker.domain.run_views import PageKey, QuestionState, RunFilter, RunScope, StepKey, ViewStatus, WaitsFor
from langgraph_worker.domain.spending import Spending
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_views import SqlRunViews
from langgraph_worker.store.views import RunViews
from langgraph_worker.testing.memory_store.run_views import MemoryRunViews
from langgraph_worker.testing.memory_store.store import MemoryRunStore
from tests.support.run_store import (
    START,
    WEEK,
    Clock,
    Store,
    answer,
    apply,
    ask,
    attempt,
    claim_one,
    event,
    ran,
    refusal,
    request,
    result,
)
from workflow_events.control import PauseScope
from workflow_events.results import Interrupt, ModelUsage, ResultStatus

pytestmark = pytest.mark.integration


def views_of(store: Store) -> RunViews:
    if isinstance(store, MemoryRunStore):
        return MemoryRunViews(store)
    assert isinstance(store, SqlRunStore)
    return SqlRunViews(store)


@pytest.fixture
def views(store: Store) -> RunViews:
    return views_of(store)


async def found(views: RunViews, **wanted: object) -> list[UUID]:
    page = await views.find(RunFilter(**wanted), 100)  # type: ignore[arg-type]
    assert page.next is None
    return [run.correlation_id for run in page.runs]


async def accept(store: Store, **changes: object) -> UUID:
    graph = str(changes.pop("graph", "graph"))
    asked = request(event(**changes), graph)  # type: ignore[arg-type]
    await store.accept([asked])
    return asked.event.event_id


async def test_pages_are_newest_first_and_leave_out_nothing(store: Store, views: RunViews, clock: Clock) -> None:
    accepted = []
    for number in range(7):
        accepted.append(await accept(store))
        if number % 3 == 2:  # some at the same instant
            clock.advance(1)
    pages, after = [], None
    for _ in range(4):
        page = await views.find(RunFilter(), 2, after)
        pages.append([run.correlation_id for run in page.runs])
        after = page.next
    newest = accepted[::-1]
    assert pages == [newest[0:2], newest[2:4], newest[4:6], newest[6:7]]
    assert after is None


async def test_a_run_that_comes_meanwhile_changes_no_later_page(store: Store, views: RunViews, clock: Clock) -> None:
    first, second, third = [await accept(store) for _ in range(3)]
    page = await views.find(RunFilter(), 1)
    assert [run.correlation_id for run in page.runs] == [third]
    clock.advance(1)
    await accept(store)
    assert page.next is not None
    later = await views.find(RunFilter(), 2, PageKey.parse(str(page.next)))
    assert [run.correlation_id for run in later.runs] == [second, first]
    assert later.next is None


async def test_each_status_is_found_by_its_word(store: Store, views: RunViews) -> None:
    ended: dict[ResultStatus, UUID] = {}
    for status in ResultStatus:
        if status is ResultStatus.INTERRUPTED:
            ended[status] = (await ask(store, request(), "sure")).correlation_id
        else:
            ended[status] = (await ran(store, request(), status)).correlation_id
    running = await accept(store)
    await claim_one(store)
    pending = await accept(store, graph="another")
    for status, name in ended.items():
        assert await found(views, statuses=frozenset({ViewStatus(status.value)})) == [name]
    assert await found(views, statuses=frozenset({ViewStatus.RUNNING})) == [running]
    assert await found(views, statuses=frozenset({ViewStatus.PENDING})) == [pending]
    some = frozenset({ViewStatus.PENDING, ViewStatus.SUCCESS, ViewStatus.TIMEOUT})
    assert await found(views, statuses=some) == [pending, ended[ResultStatus.TIMEOUT], ended[ResultStatus.SUCCESS]]


async def test_filters_hold_together(store: Store, views: RunViews, clock: Clock) -> None:
    one = await accept(store, workflow_id="a", workflow_run_id="monday", graph="g")
    clock.advance(60)
    two = await accept(store, workflow_id="a", workflow_run_id="tuesday", graph="g", thread_id="talk")
    clock.advance(60)
    three = await accept(store, workflow_id="b", workflow_run_id="tuesday", graph="h")
    assert await found(views, graph="g") == [two, one]
    assert await found(views, workflow_id="a") == [two, one]
    assert await found(views, workflow_run_id="tuesday") == [three, two]
    assert await found(views, workflow_id="a", workflow_run_id="tuesday") == [two]
    assert await found(views, since=START + timedelta(seconds=60)) == [three, two]
    assert await found(views, before=START + timedelta(seconds=60)) == [one]
    assert await found(views, since=START + timedelta(seconds=1), before=START + timedelta(seconds=61)) == [two]
    assert await found(views, thread="talk") == [two]
    [run] = (await views.find(RunFilter(thread="talk"), 1)).runs
    assert run.thread_id is not None
    assert await found(views, thread=run.thread_id) == [two]
    assert await found(views, thread="TALK") == []


async def test_a_refused_request_is_found_by_its_error(store: Store, views: RunViews) -> None:
    refused = uuid4()
    await store.accept([refusal(refused)])
    await ran(store, request(), ResultStatus.SUCCESS)
    assert await found(views, error_type="invalid_event") == [refused]
    detail = await views.detail(refused)
    assert detail is not None
    assert detail.event is None
    assert detail.result is not None
    assert (detail.result.error, detail.run.graph, detail.run.status) == (
        "field 'payload': wrong",
        None,
        ViewStatus.ERROR,
    )
    assert [one.correlation_id for one in detail.requests] == [refused]


async def test_an_id_is_found_by_how_it_begins(store: Store, views: RunViews) -> None:
    one, two = UUID("abcd1234-0000-4000-8000-000000000001"), UUID("abcd1235-0000-4000-8000-000000000002")
    await store.accept([request(event(event_id=name)) for name in (two, one, UUID(int=7))])
    assert await views.ids_beginning_with("abcd", 10) == [one, two]
    assert await views.ids_beginning_with("ABCD-1235", 10) == [two]
    assert await views.ids_beginning_with(str(one), 10) == [one]
    assert await views.ids_beginning_with("ab", 1) == [one]
    assert await views.ids_beginning_with("ffff", 10) == []
    for wrong in ("", "-", "xyz", "0" * 33):
        with pytest.raises(ValueError, match="no beginning of an id"):
            await views.ids_beginning_with(wrong, 10)


async def test_a_run_that_is_not_there(store: Store, views: RunViews) -> None:
    assert await views.detail(uuid4()) is None


async def test_a_run_shows_its_steps_errors_and_what_it_has_spent(store: Store, views: RunViews, clock: Clock) -> None:
    asked = request(event(attempt(), data={"ask": "what?"}))
    await store.accept([asked])
    claim = await claim_one(store)
    begun = Step("s1", "", "research", None, StepStatus.RUNNING, START)
    spent = Spending({"m": ModelUsage(input_tokens=3, output_tokens=4, total_tokens=7, requests=1)}, 1, 2.5)
    await store.record(claim, [begun], spent)
    clock.advance(2)
    done = replace(begun, status=StepStatus.COMPLETED, finished_at=clock.now, output={"found": 1})
    await store.record(claim, [done, Step("s0", "", "write", "bob", StepStatus.FAILED, clock.now, error="no")])
    failure = Failure("RateLimitError", "slow down", "Traceback", "write", ErrorClass.RATE_LIMIT, "m", 5.0)
    await store.back_off(claim, BackOff(ErrorClass.RATE_LIMIT, 5.0, Retried()), failure)
    detail = await views.detail(asked.event.event_id)
    assert detail is not None
    assert (detail.run.status, detail.run.attempts, detail.run.try_number) == (ViewStatus.PENDING, 1, 1)
    assert detail.not_before == clock.now + timedelta(seconds=5)
    assert detail.event is not None
    assert detail.event["payload"] == {"data": {"ask": "what?"}, "command": None}
    assert [(one.attempt, one.step.node, one.step.status) for one in detail.steps] == [
        (1, "research", StepStatus.COMPLETED),
        (1, "write", StepStatus.FAILED),
    ]
    assert detail.steps[0].step == done
    [error] = detail.errors
    assert (error.attempt, error.failure, error.occurred_at) == (1, failure, clock.now)
    assert detail.usage == spent.usage
    assert detail.result is None


async def test_a_pending_run_shows_what_keeps_it_from_starting(store: Store, views: RunViews, clock: Clock) -> None:
    asked = [request(event(attempt(1, at=at, task=str(at) * 64), thread_id="talk")) for at in (1, 2)]
    await store.accept([asked[0]])
    holder = await claim_one(store)
    await store.accept([asked[1]])

    async def waits_for(number: int) -> WaitsFor | None:
        detail = await views.detail(asked[number].event.event_id)
        assert detail is not None
        return detail.waits_for

    assert await waits_for(0) is None
    assert await waits_for(1) == WaitsFor((), None, holder.correlation_id, 1)
    await store.release(holder, 40.0, retried=Retried(turns={"openai:big": (7,)}))
    assert await waits_for(0) == WaitsFor(("openai:big",))
    change = PauseChange(PauseScope.GRAPH, "graph", is_on=True, changed_at=clock.now)
    await store.pause([change])
    assert await waits_for(1) == WaitsFor(pause=change)


async def test_a_run_shows_the_attempts_of_its_task(store: Store, views: RunViews, clock: Clock) -> None:
    first = await ran(store, request(event(attempt(1))), ResultStatus.FAILURE)
    clock.advance(1)
    second = await ran(store, request(event(attempt(2))), ResultStatus.SUCCESS)
    clock.advance(1)
    await ran(store, request(), ResultStatus.SUCCESS)
    detail = await views.detail(first.correlation_id)
    assert detail is not None
    assert [(one.correlation_id, one.status, one.try_number) for one in detail.requests] == [
        (first.correlation_id, ViewStatus.FAILURE, 1),
        (second.correlation_id, ViewStatus.SUCCESS, 2),
    ]
    assert detail.result is not None
    assert detail.result.status is ResultStatus.FAILURE


async def test_a_run_shows_its_questions_and_their_answers(store: Store, views: RunViews, clock: Clock) -> None:
    claim = await ask(store, request(event(attempt())), "sure")
    detail = await views.detail(claim.correlation_id)
    assert detail is not None
    [question] = detail.pending_questions
    assert (question.interrupt_id, question.value, question.asked_by) == ("sure", "sure?", claim.correlation_id)
    clock.advance(5)
    given = request(answer(attempt(), {"sure": "yes"}, round=1))
    await store.accept([given])
    second = await claim_one(store)
    await apply(store, second, "sure")
    await store.finish(second, result(second, ResultStatus.INTERRUPTED, interrupts=[Interrupt(id="why", value=None)]))
    for name in (claim.correlation_id, second.correlation_id):
        detail = await views.detail(name)
        assert detail is not None
        answered, pending = detail.questions
        assert (answered.state, answered.answer, answered.answered_by) == (QuestionState.ANSWERED, "yes", "ann")
        assert answered.answer_id == second.correlation_id
        assert answered.answered_at == START + timedelta(seconds=5)
        assert (pending.interrupt_id, pending.state) == ("why", QuestionState.PENDING)
        assert pending.asked_by == second.correlation_id
        assert [one.correlation_id for one in detail.requests] == [claim.correlation_id, second.correlation_id]


async def test_what_is_read_stays_when_a_run_is_pruned(store: Store, views: RunViews, clock: Clock) -> None:
    done = (await ran(store, request())).correlation_id
    clock.advance(2 * WEEK.total_seconds())
    assert (await store.prune(WEEK, WEEK, 10)).runs == 1
    assert await views.detail(done) is None
    assert await found(views) == []


async def test_a_scope_leaves_out_what_may_not_be_seen(store: Store, views: RunViews) -> None:
    ids = {}
    for number, (graph, deployment) in enumerate((("a", "prod"), ("b", "prod"), ("a", "test"))):
        of = attempt(at=number + 1, task=f"{graph}{deployment}", deployment=deployment)
        ids[graph, deployment] = await accept(store, of=of, graph=graph)
    ids["a", ""] = await accept(store, graph="a")
    refused = uuid4()
    await store.accept([refusal(refused)])

    async def seen(*names: tuple[str, str], **limits: frozenset[str]) -> None:
        scope = RunScope(**limits)  # type: ignore[arg-type]
        assert set(await found(views, scope=scope)) == {ids[name] for name in names}
        for name, one in ids.items():
            detail = await views.detail(one)
            assert detail is not None
            assert scope.includes(detail.run.graph, detail.run.deployment) is (name in names), name
            assert (await views.detail(one, 0, scope) is not None) is (name in names), name

    await seen(("a", "prod"), ("a", "test"), ("a", ""), graphs=frozenset({"a"}))
    await seen(("a", "prod"), ("b", "prod"), deployments=frozenset({"prod"}))
    await seen(("a", "prod"), graphs=frozenset({"a"}), deployments=frozenset({"prod"}))
    await seen(graphs=frozenset())
    await seen(deployments=frozenset())
    assert await found(views, scope=RunScope(frozenset({"a"})), graph="b") == []
    await seen(("a", ""), deployments=frozenset({""}))  # it is not known whose request was refused
    assert refused in await found(views)


async def test_what_never_runs_belongs_to_who_asked_for_it(store: Store, views: RunViews) -> None:
    asking = (await ask(store, request(event()), "why")).correlation_id
    newer, late = attempt(2, task="t", deployment="prod"), attempt(1, task="t", deployment="prod")
    await accept(store, of=newer)
    of_prod = await accept(store, of=late)
    cancelled = event()
    await store.cancel([Cancel(cancelled.event_id)], WEEK)
    await store.accept([request(cancelled)])
    unasked = answer(None, {"other": 1}, answers_to=asking)
    await store.accept([request(unasked)])
    for name, deployment in ((of_prod, "prod"), (cancelled.event_id, ""), (unasked.event_id, None)):
        detail = await views.detail(name)
        assert detail is not None
        assert (detail.run.thread_id is None) is (name != cancelled.event_id)
        assert detail.run.deployment == deployment
        for scope in ("prod", ""):
            seen = await views.detail(name, 0, RunScope(deployments=frozenset({scope})))
            assert (seen is not None) is (scope == deployment)
            assert (name in await found(views, scope=RunScope(deployments=frozenset({scope})))) is (scope == deployment)


async def test_a_page_that_no_store_has_is_none() -> None:
    for number in ("-1", str(2**63), "9" * 40):
        with pytest.raises(ValueError, match=number.strip("-") or "1"):
            PageKey.parse(f"20260301T000000.0-{number}")


async def test_steps_come_in_pages_in_the_order_of_their_starts(store: Store, views: RunViews) -> None:
    await store.accept([request(event())])
    claim = await claim_one(store)
    steps = [
        Step(f"s{number}", "", "node", None, StepStatus.COMPLETED, START + timedelta(seconds=number % 3))
        for number in range(7)
    ]
    await store.record(claim, steps)
    in_order = ["s0", "s3", "s6", "s1", "s4", "s2", "s5"]
    pages, after = [], None
    for _ in range(4):
        page = await views.steps(claim.correlation_id, 2, after)
        pages.append([view.step.step_id for view in page.steps])
        after = page.next
    assert pages == [in_order[0:2], in_order[2:4], in_order[4:6], in_order[6:7]]
    assert after is None
    whole = await views.steps(claim.correlation_id, 7)
    assert [view.step.step_id for view in whole.steps] == in_order
    assert whole.next is None
    assert (await views.steps(claim.correlation_id, 7, whole.steps[-1].key)).steps == ()
    assert StepKey.parse(str(whole.steps[2].key)) == whole.steps[2].key
    assert (await views.steps(uuid4(), 7)).steps == ()
    detail, few, without = [await views.detail(claim.correlation_id, most) for most in (500, 3, 0)]
    assert detail is not None
    assert few is not None
    assert without is not None
    assert detail.steps == whole.steps
    assert few.steps == whole.steps[-3:]
    assert without.steps == ()
