"""What must be true of a run store's claims, results and writes, whatever happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langgraph_worker.domain.models import Claim, Decision
from langgraph_worker.domain.retry_policy import Retried
from tests.support.airflow_model import Asked
from tests.support.scripted_graph import GRAPHS, Write
from workflow_events.results import ResultStatus, WorkflowResultEvent

if TYPE_CHECKING:
    from tests.support.store_history import History

MAX_TAKEOVERS = 3
_STORIES = (ResultStatus.SUCCESS, ResultStatus.INTERRUPTED)


def check_claim(world: History, claim: Claim, before: Mapping[UUID, Mapping[str, Any]]) -> None:
    """A claim was handed out.

    :param before: the runs as they were.
    """
    of, thread = claim.correlation_id, claim.thread_id
    asked, row = world.judge.accepted[of], before[of]
    assert claim.event == asked.event.model_copy(update={"priority": claim.event.priority})
    assert claim.event.priority == asked.event.priority or asked.event.answers, "not its own priority"
    assert row["finished_at"] is None, f"{of} had ended"
    assert row["deadline"] is None or row["deadline"] > world.clock.now, f"{of} was too late"
    hold = world.holds.get(thread)
    assert hold is None or hold.until <= world.now(), f"{thread} is still {hold.run.claim.worker_id}'s" if hold else ""
    assert claim.lease.token > world.tokens.get(thread, 0)
    first = min(
        (one for one in before.values() if queues(world, one, thread)), key=lambda one: (not one["round"], one["seq"])
    )
    assert first["correlation_id"] == of, f"{first['correlation_id']} goes first on {thread}"
    assert claim.takeovers == world.vanished.get(of, 0) <= MAX_TAKEOVERS
    assert claim.retried == world.retried.get(of, Retried()), f"{of} has forgotten what it repeated"
    assert claim.spent == world.spent.get((claim.lineage, claim.generation)), f"{of} has forgotten what it spent"
    assert row["not_before"] is None or row["not_before"] <= world.clock.now, f"{of} still backs off"
    _check_answers(world, asked, claim)
    _check_place(world, asked, claim)


def queues(world: History, row: Mapping[str, Any], thread: str) -> bool:
    """Whether a run waits for its turn on the thread: no question of another lineage holds it up."""
    if row["thread_id"] != thread or row["correlation_id"] in world.results:
        return False
    if row["deadline"] is not None and row["deadline"] <= world.clock.now:
        return False
    return row["round"] > 0 or all(one.lineage == row["lineage"] for one in world.questions.pending(thread))


def _check_answers(world: History, asked: Asked, claim: Claim) -> None:
    problem, given_to = world.judge.problem(asked), world.judge.given_to(asked)
    assert not problem, f"{asked} answers what is {problem}"
    group = world.judge.group[asked.id]
    pending = {one.id: one.asking for one in world.questions.pending(claim.thread_id) if one.group == group}
    given = {one.interrupt_id: one.value for one in asked.event.answers}
    assert claim.answers == {name: given[name] for name in given if pending.get(name) == given_to[name].asking}
    assert claim.answered == world.questions.answers(group)


def _check_place(world: History, asked: Asked, claim: Claim) -> None:
    """A logical run is that of its group of requests, and of no other."""
    group = world.judge.group[asked.id]
    place = (claim.lineage, claim.generation, claim.logical_run, claim.thread_id, claim.graph)
    assert world.places.setdefault(group, place) == place
    assert len({one[2] for one in world.places.values()}) == len(world.places), f"{asked} runs as another"
    assert asked.event.answers or claim.lineage == asked.lineage
    of_thread = [one for one in world.writes if one.thread == claim.thread_id]
    assert not (claim.is_new and of_thread)
    assert claim.resumes or all(one.logical_run != str(claim.logical_run) for one in of_thread)


def check_result(world: History, asked: Asked, result: WorkflowResultEvent) -> None:
    """A run has ended."""
    event = asked.event
    assert (result.correlation_id, result.workflow_id) == (asked.id, event.workflow_id)
    sent = world.sent.get(asked.id)
    if sent is not None:
        assert result == sent, f"{asked} did not end as its owner said"
    elif world.rows[asked.id]["decision"] == Decision.ANSWERED:
        _check_answered(world, asked, result)
    else:
        _check_ended_by_the_store(world, asked, result)
    if result.status in _STORIES:
        _check_story(world, asked, result)


def _check_answered(world: History, asked: Asked, result: WorkflowResultEvent) -> None:
    group = world.judge.group[asked.id]
    said = [one for of, one in world.results.items() if of != asked.id and world.judge.group.get(of) == group]
    assert any((one.status, one.result) == (result.status, result.result) for one in said), f"{asked} has a new answer"
    if result.status is ResultStatus.INTERRUPTED:
        # What was answered since may still be among them, where another question of the same asking was not.
        missed = set(world.judge.asked_again[asked.id]) - {one.id for one in result.interrupts}
        assert not missed, f"{asked} is not asked {missed}"


def _check_ended_by_the_store(world: History, asked: Asked, result: WorkflowResultEvent) -> None:
    match result.error_type:
        case "superseded":
            assert not world.judge.rules(asked), f"{asked} is the newest attempt"
        case "cancelled":
            assert asked.id in world.judge.cancelled, f"{asked} was cancelled without a cancel"
        case "worker_lost":
            lost = world.vanished.get(asked.id, 0) + (asked.id in world.running)
            assert lost > MAX_TAKEOVERS, f"{asked} was given up early"
        case "deadline":
            assert asked.event.deadline is not None
            assert asked.event.deadline <= world.clock.now
        case "interrupt_not_pending":
            refused = world.rows[asked.id]["decision"] == Decision.REFUSED
            assert refused or world.judge.problem(asked), f"{asked} was refused"
        case "unknown_graph":
            assert asked.request.graph not in GRAPHS
        case _:
            raise AssertionError(f"nothing ended {asked} with {result}")


def _check_story(world: History, asked: Asked, result: WorkflowResultEvent) -> None:
    """What a result reports was done for this request: not for a neighbour's, nor before a fresh start."""
    assert isinstance(result.result, dict)
    by = [UUID(of) for of in result.result["by"]]
    group = world.judge.group[asked.id]
    assert {world.judge.group[of] for of in by} == {group}, f"{asked} got an answer to something else"
    if not asked.event.answers:
        assert world.judge.said(by[0]) == world.judge.said(asked.id), f"{asked} got an answer to other input"


def check_pruned(world: History, gone: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Runs were pruned: nobody waits for them, and nothing that is left continues or answers them."""
    for of, row in gone.items():
        assert of in world.received, f"{of} was pruned before it was published"
        left = [one for one in world.unfinished() if world.rows[one.id]["lineage"] == row["lineage"]]
        assert row["lineage"] is None or not left, f"{of} was pruned, and {left} goes on with its lineage"
        asked = [one for one in world.questions.all if one.pending and one.lineage == row["lineage"]]
        assert not asked, f"{of} was pruned, and its lineage asks {asked}"


def check_writes(
    thread_tokens: dict[str, tuple[int, str, str]], done: set[tuple[str, int]], new: Sequence[Write]
) -> None:
    """New writes of graphs: each thread has one writer at a time, and nothing that is durable is done again.

    :param thread_tokens: who wrote last on each thread, and under which token; brought up to date.
    :param done: the nodes that are done, by turn and place; brought up to date.
    """
    for write in new:
        token, *writer = thread_tokens.get(write.thread, (0, "", ""))
        assert write.token >= token, f"{write} landed behind token {token}"
        assert write.token > token or writer == [write.worker, write.correlation_id], f"{write} beside {writer}"
        thread_tokens[write.thread] = (write.token, write.worker, write.correlation_id)
        if write.kind == "node":
            assert (write.turn, write.place) not in done, f"{write} was done before"
            done.add((write.turn, write.place))


def check_newest(world: History) -> None:
    """Of each task, what is unfinished belongs to its newest attempt."""
    for asked in world.unfinished():
        assert world.judge.rules(asked), f"{asked} goes on, and there is a newer attempt"
