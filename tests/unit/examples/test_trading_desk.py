"""The whole trading desk, without a model and with scripted ones; and the project that it stands in."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph.state import CompiledStateGraph
from trading_desk.graph import build_desk, graph
from trading_desk.prices import BadInput
from trading_desk.wording import rule_based_summary

PROJECT = Path(__file__).parents[3] / "example_graphs"
GOOD = "AAPL rose 10.00% and its deepest fall was 20%, from February 2005 to March 2005."
BAD = "AAPL rose 11% in 2005-04 and will reach 250."
MODEL = {"configurable": {"model": "m:1"}}


def rows(**prices: list[float]) -> list[dict[str, Any]]:
    """Rows of several symbols, months mixed as in a file that is sorted by date."""
    return sorted(
        (
            {"symbol": symbol, "date": f"2005-{month:02}-01", "price": price}
            for symbol, them in prices.items()
            for month, price in enumerate(them, start=1)
        ),
        key=lambda row: row["date"],
    )


ORDER = {"prices": rows(AAPL=[100, 110, 88, 110], IBM=[50, 45, 54])}


@pytest.fixture(autouse=True)
def no_model_in_the_environment(monkeypatch):
    monkeypatch.delenv("OLLAMA_MODEL", raising=False)
    monkeypatch.delenv("OLLAMA_HOST", raising=False)


def scripted(*texts: str) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A desk whose model answers with these texts, in this order, and nothing after them."""
    model = GenericFakeChatModel(messages=iter([AIMessage(text) for text in texts]))
    return build_desk(lambda name: model)


def did(result: dict[str, Any], agent: str) -> list[str]:
    return [step["did"] for step in result["trail"] if step["agent"] == agent]


class TestWithoutAModel:
    async def test_figures_of_each_symbol_and_a_summary_by_rules(self):
        result = await graph.ainvoke(ORDER)
        assert list(result["figures"]) == ["AAPL", "IBM"]
        assert result["figures"]["AAPL"]["total_return"] == 0.1
        assert result["figures"]["IBM"]["max_drawdown"] == 0.1
        assert result["summary"] == rule_based_summary(result["figures"])
        assert (result["summary_source"], result["model"], result["unverified_numbers"]) == ("rules", None, [])
        assert result["note"].startswith("no chat model is configured (set OLLAMA_MODEL")

    async def test_the_result_is_compact_json_without_the_prices(self):
        result = await graph.ainvoke(ORDER)
        assert set(result) == {
            "figures", "summary", "summary_source", "model", "note", "unverified_numbers", "trail",
        }  # fmt: skip
        assert json.loads(json.dumps(result, allow_nan=False)) == result

    async def test_the_trail_says_who_did_what(self):
        result = await graph.ainvoke(ORDER)
        assert [step["agent"] for step in result["trail"]] == [
            "orchestrator",
            *["data_agent"] * 4,
            "analysis_agent",
        ]
        assert did(result, "orchestrator") == ["gave AAPL, IBM to 2 data agent(s)"]
        assert did(result, "data_agent")[0] == "checked 4 monthly prices of AAPL"
        assert did(result, "analysis_agent") == ["wrote the rule-based summary"]

    async def test_only_the_symbols_asked_for(self):
        result = await graph.ainvoke(ORDER | {"symbols": ["IBM"]})
        assert list(result["figures"]) == ["IBM"]

    async def test_an_empty_model_name_is_none(self, monkeypatch):
        monkeypatch.setenv("OLLAMA_MODEL", "")
        result = await graph.ainvoke(ORDER, {"configurable": {"model": ""}})
        assert result["summary_source"] == "rules"

    async def test_one_data_agent_runs_for_each_symbol(self):
        stream = graph.astream(ORDER, stream_mode="tasks", subgraphs=True)
        started = [task["name"] async for _, task in stream if "input" in task]
        assert started.count("data_agent") == 2
        assert sorted(set(started)) == [
            "analysis_agent", "check_prices", "compute_figures", "data_agent", "orchestrator", "write_rules",
        ]  # fmt: skip

    async def test_a_second_order_on_the_same_thread_starts_clean(self, tmp_path):
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
            desk = graph.copy(update={"checkpointer": saver})
            thread = {"configurable": {"thread_id": "t"}}
            await desk.ainvoke(ORDER | {"symbols": ["IBM"]}, thread, durability="sync")
            kept = (await desk.aget_state(thread)).values
            again = await desk.ainvoke({"prices": rows(MSFT=[1, 2, 3])}, thread, durability="sync")
            with pytest.raises(BadInput, match=r"^prices: a list of rows"):
                await desk.ainvoke({"symbols": ["MSFT"]}, thread, durability="sync")
        assert (kept["prices"], kept["symbols"]) == ([], None)
        assert again == await graph.ainvoke({"prices": rows(MSFT=[1, 2, 3])})

    @pytest.mark.parametrize(
        ("order", "message"),
        [
            ({"symbols": ["IBM"]}, "^prices: a list of rows"),
            ({"prices": ORDER["prices"], "symbols": ["TSLA"]}, r"^symbols\[0\]: 'TSLA' has no rows"),
            ({"prices": rows(AAPL=[1, 2, 3], IBM=[5, 6])}, r"^prices\[3\]: the last row of IBM, which has 2"),
            ({"prices": rows(AAPL=[1, 2, -3])}, r"^prices\[2\]\.price: -3 \(AAPL\)"),
            ({"prices": rows(AAPL=[1, 2, 3])[::-1]}, r"^prices\[1\]\.date: 2005-02-01 \(AAPL\)"),
        ],
    )
    async def test_bad_input_is_an_error_of_the_run(self, order, message):
        with pytest.raises(BadInput, match=message):
            await graph.ainvoke(order)


class TestTheNumberCheck:
    async def test_a_grounded_text_is_used(self):
        result = await scripted(GOOD).ainvoke(ORDER, MODEL)
        assert (result["summary"], result["summary_source"], result["model"]) == (GOOD, "model", "m:1")
        assert (result["note"], result["unverified_numbers"]) == ("", [])

    async def test_one_more_try_after_an_ungrounded_text(self):
        result = await scripted(BAD, f"  {GOOD}\n").ainvoke(ORDER, MODEL)
        assert (result["summary"], result["summary_source"], result["unverified_numbers"]) == (GOOD, "model", [])
        assert did(result, "analysis_agent") == [
            "asked m:1 for a summary",
            "rejected the draft: these numbers are not in the figures: 11%, 250",
            "asked m:1 for a summary",
            "found every number of the draft in the figures",
        ]

    async def test_rules_after_two_ungrounded_texts(self):
        result = await scripted(BAD, "It rose 77 %.").ainvoke(ORDER, MODEL)
        assert result["summary"] == rule_based_summary(result["figures"])
        assert (result["summary_source"], result["model"]) == ("rules", "m:1")
        assert result["unverified_numbers"] == ["77 %"]
        assert result["note"] == "no draft of m:1 passed the number check; the summary is rule-based"
        assert did(result, "analysis_agent")[-1] == "wrote the rule-based summary"

    async def test_no_text_is_no_summary(self):
        result = await scripted("", " \n").ainvoke(ORDER, MODEL)
        assert (result["summary_source"], result["unverified_numbers"]) == ("rules", [])
        assert did(result, "analysis_agent")[1] == "rejected the draft: it is empty"


class TestTheProject:
    """langgraph.json, as LangGraph's documentation has it."""

    @pytest.mark.parametrize("name", ["trading_desk", "echo"])
    def test_every_graph_is_where_the_manifest_says(self, name):
        entry = json.loads((PROJECT / "langgraph.json").read_text())["graphs"][name]
        path, variable = (entry["path"] if isinstance(entry, dict) else entry).split(":")
        spec = importlib.util.spec_from_file_location(f"loaded_{name}", PROJECT / path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert getattr(module, variable).get_name() == name

    def test_no_word_of_what_runs_it(self):
        texts = {
            path.name: path.read_text().lower()
            for path in PROJECT.rglob("*")
            if path.suffix in {".py", ".json", ".txt", ".md"}
        }
        assert texts
        assert [(name, word) for name, text in texts.items() for word in ("airflow", "kafka") if word in text] == []

    async def test_echo(self):
        from echo import graph as echo

        assert await echo.ainvoke({"task": "hello"}) == {"task": "hello", "answer": "echo: hello"}
        with pytest.raises(ValueError, match=r"^task: 7 is not a text"):
            await echo.ainvoke({"task": 7})
