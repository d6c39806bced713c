"""One agent for each symbol, side by side, and one report of all: order -> desk, once for each symbol -> report.

The graph `trading_desk` gets the prices of one symbol. One that it knows no prices of fails its own task instance: it
is retried or cleared alone, and the report has the others.
"""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, TriggerRule, dag, task

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator

PRICES = Path(__file__).resolve().parent.parent / "example_graphs" / "data" / "stocks.csv"


# [START example_langgraph_mapped]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={"symbols": Param(["AAPL", "IBM", "MSFT"], type="array", items={"type": "string"}, minItems=1)},
)
def example_langgraph_mapped() -> None:
    """Ask about each symbol, and report on those that have an answer."""

    @task
    def orders(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """An input of the graph for each symbol."""
        with PRICES.open(newline="", encoding="utf-8") as file:
            rows = [{**row, "price": float(row["price"])} for row in csv.DictReader(file)]
        return [
            {"symbols": [symbol], "prices": [row for row in rows if row["symbol"] == symbol]}
            for symbol in (params or {})["symbols"]
        ]

    desk = LangGraphTriggerOperator.partial(
        task_id="desk",
        graph="trading_desk",
        timeout=timedelta(minutes=10),
        max_active_tis_per_dagrun=20,
        map_index_template="{{ task.input['symbols'][0] }}",  # its name in the grid, instead of a number
    ).expand(input=orders())

    @task(trigger_rule=TriggerRule.ALL_DONE, multiple_outputs=False)  # also if some symbols have failed
    def report(answers: list[dict[str, Any]]) -> dict[str, float]:
        """The total return of each symbol that has an answer; those that failed are left out."""
        figures = [answer["figures"] for answer in answers if answer]
        if not figures:
            raise ValueError("no symbol has an answer")
        return {symbol: found["total_return"] for one in figures for symbol, found in one.items()}

    report(desk.output)


example_langgraph_mapped()
# [END example_langgraph_mapped]
