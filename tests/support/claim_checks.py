"""What must be true of the claims of a run store: the limits of graphs, and the order in which runs start."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.support.world_checks import queues

if TYPE_CHECKING:
    from tests.support.store_world import World


def check_limits(world: World, claimed: Collection[str], at: float) -> None:
    """Runs of these graphs were claimed: no more of each run, or may still be at work, than its limit.

    :param at: when they were claimed.
    """
    for graph in claimed:
        held = [hold for hold in world.holds.values() if hold.until > at and hold.run.claim.graph == graph]
        most = world.database.max_running.get(graph, len(held))
        assert len(held) <= most, f"{len(held)} runs of {graph} at once, and its limit is {most}"


def check_turns(
    world: World, claimed: Collection[UUID], before: Mapping[UUID, Mapping[str, Any]], held: Collection[str]
) -> None:
    """One worker has claimed these: no other run of the same graph and workflow that could start had an earlier turn.

    :param before: the runs as they were.
    :param held: the threads that had a holder. Those on which the claim has ended a run count as well.
    """
    ended = {row["thread_id"] for of, row in before.items() if row["finished_at"] is None and of in world.results}
    could_start = [row for row in before.values() if _could_start(world, row, before, {*held, *ended})]
    for of in claimed:
        mine = before[of]
        for other in could_start:
            is_passed_over = other["correlation_id"] not in claimed and _key(other) == _key(mine)
            assert not is_passed_over or _turn(other) > _turn(mine), f"{other['correlation_id']} comes before {of}"


def _could_start(
    world: World, row: Mapping[str, Any], before: Mapping[UUID, Mapping[str, Any]], held: Collection[str]
) -> bool:
    thread, now = row["thread_id"], world.clock.now
    if row["finished_at"] is not None or thread is None or thread in held:
        return False
    if row["correlation_id"] in world.results or world.is_paused(row["graph"], row["workflow_id"]):
        return False
    if row["not_before"] is not None and row["not_before"] > now:
        return False
    behind = [one for one in before.values() if one["finished_at"] is None and queues(world, one, thread)]
    return bool(behind) and min(behind, key=lambda one: (not one["round"], one["seq"])) is row


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["graph"], row["deployment"], row["workflow_id"]


def _turn(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["turn"], row["seq"]
