"""Random graphs under kills, with one seed: the short form of ``make test-random-graphs``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.random_graphs.campaign import Campaign, case_of
from tests.random_graphs.circumstances import Circumstances
from tests.random_graphs.description import Ask, Call, Flow, Graph, Node, Pause, Say, Spend, Step, has, show, walk
from tests.random_graphs.generator import KNOWN_FAULTS, Generator
from tests.random_graphs.judge import faults
from tests.random_graphs.ledger import Entry
from tests.random_graphs.shrinking import shrink
from tests.random_graphs.stock import run_alone
from tests.random_graphs.stores import postgres_stores, sqlite_stores
from workflow_events.results import ResultStatus, WorkflowResultEvent

SEED = 1
ON_SQLITE = 45  # graphs
ON_POSTGRES = 20
"""Each takes three times as long there. ``make test-random-graphs`` draws as many on both."""


@pytest.mark.timeout(300)
def test_on_sqlite(tmp_path: Path):
    with sqlite_stores(tmp_path) as stores:
        check(Campaign(tmp_path, stores, SEED), 0, ON_SQLITE)


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_on_postgres(postgres_url: str, tmp_path: Path):
    with postgres_stores(postgres_url) as stores:
        check(Campaign(tmp_path, stores, SEED), ON_SQLITE, ON_POSTGRES)


def check(campaign: Campaign, first: int, count: int) -> None:
    campaign.run(first, count)
    print(campaign.summary())  # noqa: T201 - shown with -s
    done = campaign.figures
    assert done.graphs == count
    assert min(done.kills, done.drains, done.unheard, done.questions, done.retries) > 0


# ---- the suite itself ----


def test_the_same_seed_and_number_are_the_same_graph():
    assert [Generator(7, number).draw() for number in range(50)] == [
        Generator(7, number).draw() for number in range(50)
    ]
    assert Generator(7, 1).draw() != Generator(8, 1).draw()


def test_a_description_is_shown_as_python():
    part = Generator(1, 5).draw()
    names = {one.__name__: one for one in (Ask, Call, Flow, Graph, Node, Pause, Say, Spend, Step)}
    assert eval(show(part), names) == part


def test_the_generator_draws_all_that_it_promises():
    drawn = [one for number in range(300) for one in walk(Generator(1, number).draw())]
    nodes = [one for one in drawn if isinstance(one, Node)]
    graphs = [one for one in drawn if isinstance(one, Graph | Flow)]
    assert {node.routing for node in nodes} == {"edges", "conditional", "goto", "send", "send by command"}
    assert {graph.saver for graph in graphs} == {"inherited", "own", "none", "memory"}
    assert {type(one) for one in drawn} >= {Graph, Flow, Node, Ask, Call, Pause, Say, Spend}
    for quality in (
        lambda node: node.child is not None,
        lambda node: node.back is not None,
        lambda node: node.failures,
        lambda node: node.is_async and has(node, Ask),
        lambda node: not node.is_async and has(node, Call),
        lambda node: node.is_handled or "node with an error handler" in KNOWN_FAULTS,
        lambda node: node.stumbles or "node that fails until it is tried again" in KNOWN_FAULTS,
    ):
        assert any(map(quality, nodes))


def test_a_graph_is_made_smaller_as_long_as_it_is_wrong():
    part = next(one for number in range(100) if has(one := Generator(1, number).draw(), Ask) and isinstance(one, Graph))
    small = shrink(part, lambda smaller: has(smaller, Ask), tries=10_000)
    assert has(small, Ask)
    assert len([one for one in walk(small) if isinstance(one, Node)]) <= 2


# ---- the judge: each lie is seen ----

LINE = Graph("g1", "inherited", (Node("a", actions=(Ask(1),), to=(1,)), Node("b", to=(2,))))


@pytest.fixture
def told():
    """A case that ran well, and its ledger."""
    case = case_of(0, LINE, Circumstances())
    case.turns = case.expected.turns
    case.result = result(case.expected.result)
    entries = [replace(entry, case=case.name, life=0) for entry in case.expected.entries]
    assert faults(case, entries) == []
    return case, entries


def result(value: object, status: ResultStatus = ResultStatus.SUCCESS) -> WorkflowResultEvent:
    return WorkflowResultEvent(
        correlation_id="00000000-0000-4000-8000-000000000000",
        workflow_id="dag",
        workflow_run_id="run",
        status=status,
        result=value,
    )


def wrong(case, entries) -> str:
    return "\n".join(faults(case, entries))


def test_another_result_is_wrong(told):
    case, entries = told
    case.result = result({**case.expected.result, "total": 1})
    assert "its result is" in wrong(case, entries)


def test_a_failure_is_wrong(told):
    case, entries = told
    case.result = result(None, ResultStatus.TIMEOUT)
    assert "it ends with timeout" in wrong(case, entries)


def test_a_question_that_is_asked_twice_is_wrong(told):
    case, entries = told
    case.turns = [*case.turns, *case.turns]
    assert "it asks" in wrong(case, entries)


def test_a_skipped_node_is_wrong(told):
    case, entries = told
    assert "skipped: ['b()#1']" in wrong(case, [entry for entry in entries if entry.key != "b()#1"])


def test_a_node_that_runs_once_more_without_a_loss_is_wrong(told):
    case, entries = told
    again = entries[-2:]
    assert again[0].key == "b()#1"
    assert "b()#1 runs 2 times, alone 1" in wrong(case, [*entries, *again])
    loss = Entry("", "loss")
    assert wrong(case, [*entries, loss, *again]) == ""


def test_a_durable_node_that_runs_again_is_wrong_even_after_a_loss(told):
    case, entries = told
    durable = Entry(case.name, "durable", ids=(entries[-1].own,))
    assert "b()#1 was durable, and runs again" in wrong(case, [*entries, durable, Entry("", "loss"), *entries[-2:]])


def test_a_node_that_runs_beside_itself_is_wrong(told):
    case, entries = told
    assert "b()#1 runs beside itself" in wrong(case, [*entries[:-1], entries[-2], *entries[-1:] * 2])


def test_an_answer_to_another_question_is_wrong(told):
    case, entries = told
    swapped = [replace(entry, text="to c") if entry.kind == "heard" else entry for entry in entries]
    assert "hears the answer 'to c'" in wrong(case, swapped)


def test_another_idempotency_key_is_wrong(told):
    case, entries = told
    again = [replace(entry, text="another") for entry in entries[-2:]]
    assert "another idempotency key" in wrong(case, [*entries, Entry("", "loss"), *again])


def test_langgraph_alone_answers_every_question():
    expected = asyncio.run(run_alone(LINE))
    assert expected.turns == [["a()#1?0"]]
    assert expected.result["log"] == ["in", "a()#1 of 1 0", "a()#1?0 to a()#1?0", "b()#1 of 3 1"]
