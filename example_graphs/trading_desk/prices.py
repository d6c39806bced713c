"""The check of what comes in. Everything wrong is a `BadInput` that names the field and the row.

Exceptions:
    ValueError
        BadInput
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from reprlib import repr as short
from typing import Any

from typing_extensions import TypedDict

SYMBOL = re.compile(r"(?=\d+$|.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.-]{0,11}")
LOWEST_PRICE, HIGHEST_PRICE = 1e-6, 1e9  # beyond these a ratio of two prices says nothing
FEWEST_PRICES = 3  # two returns: the fewest that have a standard deviation


class BadInput(ValueError):
    """The input cannot be used as it is; sending it again does not help."""


class Quote(TypedDict):
    """One price of one symbol, and the row of the input that it came from. Anything at all until it is checked."""

    row: int
    date: str
    price: float


def split_by_symbol(prices: Any, symbols: Any = None) -> dict[str, list[Quote]]:
    """Each wanted symbol's rows, in the order of `symbols`, by default as they first appear. `check_quotes` is next."""
    if not isinstance(prices, Sequence) or isinstance(prices, str) or not prices:
        raise BadInput(
            "prices: a list of rows is needed, such as [{'symbol': 'IBM', 'date': '2005-01-01', 'price': 74.8}]"
        )
    found: dict[str, list[Quote]] = {}
    for row, entry in enumerate(prices):
        if not isinstance(entry, Mapping):
            raise BadInput(f"prices[{row}]: {short(entry)} is not an object with symbol, date and price")
        symbol = entry.get("symbol")
        if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol):
            raise BadInput(
                f"prices[{row}].symbol: {short(symbol)} is not a symbol (1 to 12 letters, digits, dots, hyphens)"
            )
        day: Any = entry.get("date")
        price: Any = entry.get("price")
        found.setdefault(symbol, []).append({"row": row, "date": day, "price": price})
    return {symbol: found[symbol] for symbol in _wanted(symbols, found)}


def _wanted(symbols: Any, found: Mapping[str, Any]) -> list[str]:
    if symbols is None:
        return list(found)
    if not isinstance(symbols, Sequence) or isinstance(symbols, str) or not symbols:
        raise BadInput(f"symbols: {short(symbols)} is not a list with at least one symbol; leave it out to take all")
    for index, symbol in enumerate(symbols):
        if not isinstance(symbol, str) or symbol not in found:
            raise BadInput(f"symbols[{index}]: {short(symbol)} has no rows in prices; there are {', '.join(found)}")
    return list(dict.fromkeys(symbols))


# [START check_quotes]
def check_quotes(symbol: str, quotes: Sequence[Quote]) -> None:
    """Raise BadInput unless there are enough prices, all sound, one for each month from the first to the last."""
    before: tuple[int, int] | None = None  # month and row of the quote before
    for quote in quotes:
        row, month = quote["row"], _month(quote)
        if before is not None and month != before[0] + 1:
            raise BadInput(
                f"prices[{row}].date: {quote['date']} ({symbol}) is not in the month after prices[{before[1]}]; "
                "rows must be sorted by date, one a month, with none missing and none twice"
            )
        before = month, row
        price = quote["price"]
        number = isinstance(price, int | float) and not isinstance(price, bool)
        if not number or not LOWEST_PRICE <= price <= HIGHEST_PRICE:
            raise BadInput(
                f"prices[{row}].price: {short(price)} ({symbol}) is not a number "
                f"from {LOWEST_PRICE:f} to {HIGHEST_PRICE:,.0f}"
            )
    if len(quotes) < FEWEST_PRICES:
        raise BadInput(
            f"prices[{quotes[-1]['row']}]: the last row of {symbol}, which has {len(quotes)}; "
            f"at least {FEWEST_PRICES} are needed"
        )


# [END check_quotes]


def _month(quote: Quote) -> int:
    """Months since year 0."""
    text: Any = quote["date"]
    try:
        day = date.fromisoformat(text)
    except (TypeError, ValueError):
        day = None
    if day is None or day.isoformat() != text:
        raise BadInput(f"prices[{quote['row']}].date: {short(text)} is not a date such as '2005-01-01'")
    return day.year * 12 + day.month
