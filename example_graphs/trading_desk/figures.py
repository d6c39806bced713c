"""Returns, volatility and drawdown of monthly prices. No rounding but in `measure`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from typing_extensions import TypedDict

MONTHS_A_YEAR = 12
DECIMALS = 4  # of a fraction: 0.1234 is 12.34 %


class Figures(TypedDict):
    """One symbol's figures. Returns, volatilities and drawdown are fractions: 0.1234 is 12.34 %."""

    frequency: str  # always "monthly"
    prices: int  # how many
    first_date: str
    last_date: str
    first_price: float
    last_price: float
    total_return: float  # from the first price to the last
    mean_return: float  # arithmetic mean of the monthly returns
    best_return: float
    worst_return: float
    volatility: float  # sample standard deviation of the monthly returns
    annual_volatility: float  # the same, times the square root of 12
    max_drawdown: float  # deepest fall from an earlier peak, 0 to 1
    peak_date: str  # where that fall began
    trough_date: str  # where it ended


@dataclass(frozen=True, slots=True)
class Drawdown:
    """A fall from prices[peak] to prices[trough]; `depth` is a fraction, 0 where prices never fall."""

    depth: float
    peak: int
    trough: int


# [START figures]
def returns(prices: Sequence[float]) -> list[float]:
    """Simple return of each period: one fewer than there are prices."""
    return [after / before - 1 for before, after in pairwise(prices)]


def volatility(changes: Sequence[float]) -> float:
    """Sample standard deviation of at least two returns, for one period."""
    return statistics.stdev(changes)


def max_drawdown(prices: Sequence[float]) -> Drawdown:
    """The deepest fall from a peak to a later price; of equal ones the first."""
    peak, deepest = 0, Drawdown(0.0, 0, 0)
    for index, price in enumerate(prices):
        if price > prices[peak]:
            peak = index
        depth = 1 - price / prices[peak]
        if depth > deepest.depth:
            deepest = Drawdown(depth, peak, index)
    return deepest


# [END figures]


def measure(dates: Sequence[str], prices: Sequence[float]) -> Figures:
    """All figures of one symbol, from at least three monthly prices with their dates; fractions rounded."""
    changes = returns(prices)
    spread = volatility(changes)
    fall = max_drawdown(prices)
    return {
        "frequency": "monthly",
        "prices": len(prices),
        "first_date": dates[0],
        "last_date": dates[-1],
        "first_price": prices[0],
        "last_price": prices[-1],
        "total_return": round(prices[-1] / prices[0] - 1, DECIMALS),
        "mean_return": round(statistics.fmean(changes), DECIMALS),
        "best_return": round(max(changes), DECIMALS),
        "worst_return": round(min(changes), DECIMALS),
        "volatility": round(spread, DECIMALS),
        "annual_volatility": round(spread * math.sqrt(MONTHS_A_YEAR), DECIMALS),
        "max_drawdown": round(fall.depth, DECIMALS),
        "peak_date": dates[fall.peak],
        "trough_date": dates[fall.trough],
    }
