"""The example DAGs: they parse as Airflow parses them, and their own tasks do what they say around the real graph."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from trading_desk.graph import graph

from tests.support.airflow_parse import parse_dags

ROOT = Path(__file__).parents[3]
DAGS = ROOT / "example_dags"


@pytest.fixture(scope="module")
def parsed(tmp_path_factory) -> dict[str, Any]:
    """What Airflow finds in the folder, read in a process and an Airflow home of its own."""
    return parse_dags(DAGS, tmp_path_factory.mktemp("airflow"))


@pytest.mark.timeout(120)  # starts an Airflow
def test_every_file_parses(parsed):
    assert parsed["errors"] == {}
    assert parsed["dags"] == {
        "example_langgraph": {"extract": ["agent"], "agent": ["report"], "report": []},
        "example_langgraph_agent": {"first": ["second"], "second": []},
        "example_langgraph_approval": {"trade": []},
        "example_langgraph_cancel_and_retry": {
            "errand": ["cancel", "decide", "result"],
            "decide": ["cancel"],
            "cancel": ["result"],
            "result": [],
            "retried": [],
        },
        "example_langgraph_conversation": {"turn": ["show"], "show": []},
        "example_langgraph_decorator": {"names": ["greet"], "greet": ["report"], "report": []},
        "example_langgraph_mapped": {"orders": ["desk"], "desk": ["report"], "report": []},
        "example_langgraph_multi_agent": {"side_by_side": [], "one_after_the_other": [], "routed": []},
        "example_langgraph_options": {"templated": [], "blocking": [], "fire_and_forget": []},
        "example_langgraph_resume": {"ask": ["answer", "decide"], "decide": ["answer"], "answer": []},
        "example_langgraph_result_sensor": {
            "ask": ["answer", "cancel", "other_work"],
            "other_work": ["decide"],
            "decide": ["answer", "cancel"],
            "answer": ["report"],
            "cancel": [],
            "report": [],
        },
    }


@pytest.mark.timeout(120)
def test_parsing_loads_neither_the_kafka_client_nor_langgraph(parsed):
    assert parsed["loaded"] == []


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_langgraph_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def module() -> ModuleType:
    return load(DAGS / "example_langgraph.py")


@pytest.fixture
def functions(module):
    """The functions of the DAG's own tasks, by task id."""
    dag = module.example_langgraph()
    return {task.task_id: task.python_callable for task in dag.tasks if hasattr(task, "python_callable")}


@pytest.mark.timeout(120)
async def test_from_the_file_to_the_report(functions, monkeypatch):
    monkeypatch.delenv("OLLAMA_MODEL", raising=False)
    order = functions["extract"](params={"symbols": ["IBM", "MSFT"], "start": "2005-01-01", "end": "2005-12-31"})
    assert order["symbols"] == ["IBM", "MSFT"]
    assert len(order["prices"]) == 24
    assert order["prices"][0] == {"symbol": "IBM", "date": "2005-01-01", "price": 86.39}

    text = functions["report"](await graph.ainvoke(json.loads(json.dumps(order))))
    lines = text.splitlines()
    assert lines[0].split()[:5] == ["symbol", "months", "return", "volatility", "drawdown"]
    assert lines[1].split()[:3] == ["IBM", "12", "-11.2%"]
    assert lines[2].split()[:2] == ["MSFT", "12"]
    assert "IBM fell 11.18% from 2005-01 to 2005-12" in text
    assert lines[-1].startswith("Note: no chat model is configured (set OLLAMA_MODEL, or model in the run's config);")


def test_the_branch_leads_to_the_sensor_or_to_the_cancel():
    dag = load(DAGS / "example_langgraph_result_sensor.py").example_langgraph_result_sensor()
    decide = dag.get_task("decide").python_callable
    assert [decide(params={"still_wanted": wanted}) for wanted in (True, False)] == ["answer", "cancel"]
    assert dag.get_task("report").python_callable({"answer": "echo: hello"}) == "echo: hello"


def test_the_report_names_the_model_or_its_made_up_numbers(module):
    answer = {"figures": {}, "summary": "S.", "summary_source": "model", "model": "m:1", "note": ""}
    assert module.render(answer | {"unverified_numbers": []}).endswith("\nS.\nNote: written by m:1.")
    rules = {"summary_source": "rules", "note": "why", "unverified_numbers": ["99%", "7"]}
    assert module.render(answer | rules).endswith("\nNote: why.\nNumbers that the model made up: 99%, 7.")


def test_the_decorated_function_makes_the_input_of_the_graph():
    dag = load(DAGS / "example_langgraph_decorator.py").example_langgraph_decorator()
    functions = {task.task_id: task.python_callable for task in dag.tasks}
    assert functions["names"](params={"names": ["Ann"]}) == ["Ann"]
    assert functions["greet"]("Ann") == {"task": "say hello to Ann"}
    assert functions["report"]([{"answer": "hello"}]) == ["hello"]


def test_what_is_too_expensive_is_cancelled():
    dag = load(DAGS / "example_langgraph_cancel_and_retry.py").example_langgraph_cancel_and_retry()
    decide = dag.get_task("decide").python_callable
    assert [decide(params={"price": price, "budget": 10}) for price in (10, 11)] == [False, True]


def test_a_turn_is_shown_with_its_number():
    dag = load(DAGS / "example_langgraph_conversation.py").example_langgraph_conversation()
    assert dag.get_task("show").python_callable({"turn": 2, "answer": "yes"}) == "2: yes"


async def test_a_symbol_has_an_order_of_its_own_and_the_report_has_those_with_an_answer():
    dag = load(DAGS / "example_langgraph_mapped.py").example_langgraph_mapped()
    orders = dag.get_task("orders").python_callable(params={"symbols": ["IBM", "NONE"]})
    assert [(order["symbols"], {row["symbol"] for row in order["prices"]}) for order in orders] == [
        (["IBM"], {"IBM"}),
        (["NONE"], set()),
    ]
    with pytest.raises(ValueError, match="prices: a list of rows is needed"):
        await graph.ainvoke(orders[1])
    answer = await graph.ainvoke(orders[0])
    report = dag.get_task("report").python_callable([answer])
    assert report == {"IBM": answer["figures"]["IBM"]["total_return"]}


def test_a_link_in_another_folder_finds_the_prices(tmp_path):
    link = tmp_path / "example_langgraph.py"
    link.symlink_to(DAGS / "example_langgraph.py")
    linked = load(link)
    assert len(linked.read_prices(linked.PRICES)) == 560


def test_a_lone_copy_says_what_it_misses(tmp_path):
    (tmp_path / "dags").mkdir()
    copied = load(Path(shutil.copy(DAGS / "example_langgraph.py", tmp_path / "dags")))
    with pytest.raises(
        FileNotFoundError, match=r"example_graphs/data/stocks\.csv: no prices there\. Keep example_dags/"
    ):
        copied.read_prices(copied.PRICES)
