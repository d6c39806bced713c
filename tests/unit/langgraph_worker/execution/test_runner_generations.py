"""A task that starts from the beginning on a thread that knows its earlier runs; with the real store and saver."""

from __future__ import annotations

from datetime import timedelta

from langgraph_worker.domain.models import Decision
from langgraph_worker.idempotency import idempotency_key
from tests.support.run_store import WEEK, attempt, event, publish, result
from tests.support.runs import State, chain
from workflow_events.results import ResultStatus


async def test_a_clear_after_pruning_works_anew_on_a_shared_thread_with_other_keys(case):
    """A neighbour's run keeps the thread, and so the checkpoints of the run that was pruned."""
    keys = []

    def pay(state: State) -> State:
        keys.append(idempotency_key())
        return {"log": ["paid"]}

    graph = chain(pay=pay)
    await case.run(await case.claim(event(attempt(1), data={}, thread_id="talk"), Decision.FRESH), graph)
    await publish(case.desk.store)
    case.clock.advance(WEEK.total_seconds())
    neighbour = event(attempt(1, task="n" * 64, at=1), data={}, thread_id="talk")
    failed = await case.claim(neighbour, Decision.FRESH)
    await case.desk.store.finish(failed, result(failed, ResultStatus.FAILURE))  # it has written nothing
    pruned = await case.desk.store.prune(timedelta(days=1), WEEK, 100)
    assert (pruned.runs, pruned.threads) == (1, 0)
    claim = await case.claim(event(attempt(2, max_tries=4), data={}, thread_id="talk"), Decision.FRESH)
    assert (await case.run(claim, graph)).result == {"log": ["paid", "paid"]}
    assert len(set(keys)) == 2
