"""Does every number in a text stand in the figures? What a chat model writes is only used if so.

A number is held if it is one of the figures, rounded to the decimals it is written with: "12.3 %" and "about 12%" for
0.1234. Signs are ignored ("fell by 12.3 %" is -0.123). Years, months and dates must be dates of the figures; digits in
a symbol's own name are no numbers. What the check cannot see: a right number said of the wrong thing, a wrong sign, and
numbers in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from trading_desk.figures import Figures

FRACTIONS = (
    "total_return", "mean_return", "best_return", "worst_return", "volatility", "annual_volatility", "max_drawdown",
)  # fmt: skip
PRICES = ("first_price", "last_price")
DATES = ("first_date", "last_date", "peak_date", "trough_date")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

# Every digit of a text lies in a match of TOKEN, so no number slips through between two of them.
TOKEN = re.compile(
    r"""
    (?P<iso> (?<!\d) \d{4}-\d{2} (?:-\d{2})? (?![\d-]) )
  | (?: \b(?P<day1>\d{1,2})(?:st|nd|rd|th)?\s+ )?
    \b(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?
        |oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?,?\s+
    (?: (?P<day2>\d{1,2})(?:st|nd|rd|th)?,?\s+ )? (?P<year>\d{4}) (?!\d)
  | (?: (?<!\w)[-+\u2212\u2013] )?
    (?P<number> \d{1,3}(?:[,\u00a0\u2009\u202f'\u2019]\d{3})+(?!\d)(?:\.\d+)? | \d*\.?\d+ )
    (?: [\s-]? (?P<unit> % | (?:percent(?:age)?|per\ cent|pct|k|m|mn|bn|b|x|bps|basis\ points?|times|fold
                          |hundred|thousand|million|billion|trillion)(?!\w) ) )?
    """,
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Held:
    """Every number that a text about the figures may use."""

    fractions: frozenset[Decimal]
    prices: frozenset[Decimal]
    counts: frozenset[Decimal]
    dates: frozenset[str]
    names: frozenset[str]  # symbols with digits in them

    @classmethod
    def by(cls, figures: Mapping[str, Figures]) -> Held:
        """The numbers of all symbols' figures, and how many symbols there are."""
        rows = [dict(it) for it in figures.values()]
        return cls(
            fractions=frozenset(abs(Decimal(str(row[name]))) for row in rows for name in FRACTIONS),
            prices=frozenset(Decimal(str(row[name])) for row in rows for name in PRICES),
            counts=frozenset(Decimal(count) for count in (len(figures), *(it["prices"] for it in figures.values()))),
            dates=frozenset(str(row[name]) for row in rows for name in DATES),
            names=frozenset(symbol for symbol in figures if re.search(r"\d", symbol)),
        )


# [START unverified_numbers]
def unverified_numbers(text: str, figures: Mapping[str, Figures]) -> list[str]:
    """The numbers of the text that the figures do not hold, as written, each once, in order. Empty: all are held."""
    held = Held.by(figures)
    for symbol in sorted(held.names, key=len, reverse=True):
        if not symbol.isdecimal():
            text = re.sub(rf"(?<!\w){re.escape(symbol)}(?!\w)", "", text)
    return list(dict.fromkeys(match[0].strip() for match in TOKEN.finditer(text) if not _holds(held, match)))


# [END unverified_numbers]


def _holds(held: Held, match: re.Match[str]) -> bool:
    if match["iso"] or match["month"]:
        return any(day.startswith(_date_prefix(match)) for day in held.dates)
    digits, unit = re.sub(r"[^\d.]", "", match["number"]), (match["unit"] or "").lower()
    value = Decimal(digits)
    if unit == "%" or unit.startswith(("per", "pct")):
        return any(_rounds_to(fraction * 100, value) for fraction in held.fractions)
    if unit:
        return False  # "12 million", "3x": the figures hold no such thing
    if match["number"] in held.names | {day[:4] for day in held.dates}:
        return True
    if "." not in digits and value in held.counts:
        return True
    candidates = held.prices | held.fractions if _decimals(value) > 1 else held.prices  # "1" is no way to write 0.6
    return any(_rounds_to(number, value) for number in candidates)


def _date_prefix(match: re.Match[str]) -> str:
    if match["iso"]:
        return match["iso"]
    day = match["day1"] or match["day2"]
    month = MONTHS.index(match["month"][:3].lower()) + 1
    return f"{match['year']}-{month:02}" + (f"-{int(day):02}" if day else "")


def _rounds_to(number: Decimal, written: Decimal) -> bool:
    """Half a unit of the last written decimal either way: halves may be rounded up or down."""
    return abs(number - written) <= Decimal(5).scaleb(-_decimals(written) - 1)


def _decimals(written: Decimal) -> int:
    return -int(written.as_tuple().exponent)
