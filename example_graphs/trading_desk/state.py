"""What goes into the desk, what its agents share, and what comes out: plain JSON throughout."""

from __future__ import annotations

import operator
from typing import Annotated, Literal, NotRequired

from typing_extensions import TypedDict

from trading_desk.figures import Figures


# [START desk_input]
class PriceRow(TypedDict):
    """One month's price of one symbol."""

    symbol: str
    date: str  # ISO, such as 2005-01-01; only its month counts
    price: float


class DeskInput(TypedDict):
    """Rows of each symbol in order of date, one a month; symbols may be mixed. No `symbols`: all of them."""

    prices: list[PriceRow]
    symbols: NotRequired[list[str] | None]


# [END desk_input]


class Step(TypedDict):
    """One line of the trail: who did what."""

    agent: Literal["orchestrator", "data_agent", "analysis_agent"]
    did: str


class Findings(TypedDict):
    """What the analysis agent hands back."""

    summary: str
    summary_source: Literal["model", "rules"]
    model: str | None  # the chat model that was asked; None: none is configured
    note: str  # why the summary is not the model's; empty if it is
    unverified_numbers: list[str]  # of the model's last draft, where that was rejected; as written there


# [START desk_result]
class DeskResult(Findings):
    """What the desk answers."""

    figures: Annotated[dict[str, Figures], operator.or_]  # by symbol; each data agent adds its own
    trail: Annotated[list[Step], operator.add]  # each agent adds its own


# [END desk_result]


class DeskState(DeskInput, DeskResult):
    """The whole desk's state."""
