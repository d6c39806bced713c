"""Real prices, a LangGraph graph somewhere else, and a report: extract -> agent -> report.

`extract` reads the months asked for from the prices beside the graphs. `agent` sends them to the graph `trading_desk`
over Kafka and holds no slot while a worker runs it. `report` turns the graph's answer into a text.
"""

from __future__ import annotations

import csv
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator

log = logging.getLogger(__name__)
PRICES = Path(__file__).resolve().parent.parent / "example_graphs" / "data" / "stocks.csv"


# [START example_langgraph]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={
        "symbols": Param(["AAPL", "IBM", "MSFT"], type="array", items={"type": "string"}, minItems=1),
        "start": Param("2005-01-01", type="string", format="date", description="First day of the prices to use"),
        "end": Param("2010-03-31", type="string", format="date", description="Last day of the prices to use"),
    },
)
def example_langgraph() -> None:
    """Ask the trading desk about a few symbols."""

    @task(multiple_outputs=False)
    def extract(params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The graph's input: the symbols asked for, and their monthly prices from `start` to `end`."""
        wanted = params or {}
        return {
            "symbols": wanted["symbols"],
            "prices": [
                row
                for row in read_prices(PRICES)
                if row["symbol"] in wanted["symbols"] and wanted["start"] <= row["date"] <= wanted["end"]
            ],
        }

    @task
    def report(answer: dict[str, Any]) -> str:
        """The answer as a text, in the log and as the return value."""
        text = render(answer)
        log.info("The report:\n%s", text)
        return text

    agent = LangGraphTriggerOperator(
        task_id="agent",
        graph="trading_desk",
        input=extract(),
        timeout=timedelta(minutes=10),
    )
    report(agent.output)


example_langgraph()
# [END example_langgraph]


def read_prices(path: Path) -> list[dict[str, Any]]:
    """Rows of symbol, date (ISO) and price, as they stand in the file. FileNotFoundError says where it must be."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no prices there. Keep example_dags/ and example_graphs/ side by side, as they come: "
            "put a symbolic link to this file into the DAGs folder instead of a copy."
        )
    with path.open(newline="", encoding="utf-8") as file:
        return [{**row, "price": float(row["price"])} for row in csv.DictReader(file)]


def render(answer: dict[str, Any]) -> str:
    """A table of the figures, the summary, and who wrote it."""
    lines = [f"{'symbol':8}{'months':>8}{'return':>10}{'volatility':>12}{'drawdown':>10}  (volatility: a year's)"]
    lines += [
        f"{symbol:8}{it['prices']:>8}{it['total_return']:>10.1%}{it['annual_volatility']:>12.1%}{it['max_drawdown']:>10.1%}"
        for symbol, it in answer["figures"].items()
    ]
    author = f"written by {answer['model']}" if answer["summary_source"] == "model" else answer["note"]
    lines += ["", answer["summary"], f"Note: {author}."]
    if answer["unverified_numbers"]:
        lines.append(f"Numbers that the model made up: {', '.join(answer['unverified_numbers'])}.")
    return "\n".join(lines)
