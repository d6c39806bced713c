"""Which numbers of a text stand in the figures: the check that every model's text has to pass."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trading_desk.figures import Figures, measure
from trading_desk.number_check import FRACTIONS, TOKEN, unverified_numbers
from trading_desk.prices import SYMBOL
from trading_desk.wording import fact_sheet, rule_based_summary

no_deadline = settings(deadline=None)  # other work shares the machine

ACME: Figures = {
    "frequency": "monthly",
    "prices": 24,
    "first_date": "2008-01-01",
    "last_date": "2009-12-01",
    "first_price": 1234.5,
    "last_price": 0.75,
    "total_return": -0.1234,
    "mean_return": 0.0123,
    "best_return": 0.2,
    "worst_return": -0.3055,
    "volatility": 0.1515,
    "annual_volatility": 0.5248,
    "max_drawdown": 0.4,
    "peak_date": "2008-03-01",
    "trough_date": "2009-02-01",
}
FIGURES = {"ACME": ACME, "BRK3": ACME | {"prices": 12}, "600": ACME}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No number at all, twelve percent in words.",
        # -0.1234, as a fraction or in percent, rounded as one likes
        "12.34%", "12.34 %", "12.3 %", "12%", "about 12%", "(12%)", "-12.34%", "−12.3 %", "+12.3%", "12.340%",
        "12.3 percent", "12.3 per cent", "12.3-percent", "12 PERCENT", "12.3 pct", "12.3 percentage points",
        "-0.1234", "0.1234", "-0.123", "0.12", ".12",
        "fell by 12.3 %.", "12.3%, and 20%.", "**12.34%**", "from 12.34% to 30.55%", "20.0%",
        # halves may go either way: 30.55 %
        "30.6%", "30.5%",
        # a price
        "1,234.5", "1,234.50", "$1,234.50", "1234.5", "1\u202f234.5", "1’234.5", "1,235", "1,234", "0.75", "0.8",
        # counts
        "3 symbols", "all 3", "24 prices", "a 24-month span", "12 months",
        # dates
        "2008", "in 2009,", "2008-2009", "2008–2009", "the 2000s, but for 2008"[15:], "2008-03", "2008-03-01",
        "March 2008", "Mar 2008", "Mar. 2008", "MARCH 2008", "March 1, 2008", "March 1st, 2008", "1 March 2008",
        "from 2008-03 to 2009-02", "December 2009.", "(2008-01)",
        # a symbol's own digits
        "BRK3", "BRK3's 12%", "600 fell 12%", "(600)",
    ],
)  # fmt: skip
def test_held(text):
    assert unverified_numbers(text, FIGURES) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("12.35%", ["12.35%"]),  # one digit off
        ("12.4 %", ["12.4 %"]),
        ("13%", ["13%"]),
        ("21.34%", ["21.34%"]),
        ("1.234%", ["1.234%"]),  # the comma in the wrong place
        ("123.4%", ["123.4%"]),
        ("-0.1235", ["-0.1235"]),
        ("0.1", ["0.1"]),  # one decimal of a fraction says too little
        ("12.3412%", ["12.3412%"]),  # more digits than there are
        ("12.34", ["12.34"]),  # percent without its sign
        ("1,234.5%", ["1,234.5%"]),  # a price is no percentage
        ("1,234.6", ["1,234.6"]),
        ("1,236", ["1,236"]),
        ("12,345", ["12,345"]),
        ("1,2345", ["2345"]),  # not 1,234 and a 5
        ("0.75%", ["0.75%"]),
        ("4 symbols", ["4"]),
        ("24.0 prices", ["24.0"]),
        ("25 prices", ["25"]),
        ("12 million", ["12 million"]),
        ("24x", ["24x"]),
        ("3 times", ["3 times"]),
        ("24bn", ["24bn"]),
        ("12 bps", ["12 bps"]),
        ("2007", ["2007"]),
        ("2,008", ["2,008"]),  # not how a year is written
        ("2008%", ["2008%"]),
        ("2008-04", ["2008-04"]),
        ("2008-03-02", ["2008-03-02"]),
        ("April 2008", ["April 2008"]),
        ("March 2, 2008", ["March 2, 2008"]),
        ("market 2007", ["2007"]),
        ("in Q7", ["7"]),
        ("BRK4", ["4"]),
        ("XBRK3", []),  # 3 is also how many symbols there are
        ("BRK31", ["31"]),
        ("600.5", ["600.5"]),  # not the symbol 600
        ("600%", ["600%"]),
        ("6000", ["6000"]),
        ("12.34% and 99% and 99% and 7", ["99%", "7"]),  # each once, in order
        ("1.5e9", ["1.5", "9"]),
        ("99-12%", ["99"]),
        ("9" * 5000, ["9" * 5000]),
    ],
)
def test_not_held(text, wrong):
    assert unverified_numbers(text, FIGURES) == wrong


@no_deadline
@given(st.text(alphabet="0123456789.,-–% emarch/x'’()$\n", max_size=40))
def test_no_digit_slips_through_between_two_numbers(text):
    assert not re.search(r"\d", TOKEN.sub("", text))
    unverified_numbers(text, FIGURES)


def a_symbols_figures(lowest: float = 1e-6, highest: float = 1e9) -> st.SearchStrategy[Figures]:
    prices = st.lists(st.floats(min_value=lowest, max_value=highest), min_size=3, max_size=24)
    return prices.map(lambda them: measure([f"{2005 + n // 12}-{n % 12 + 1:02}-01" for n in range(len(them))], them))


@no_deadline
@given(st.dictionaries(st.from_regex(SYMBOL, fullmatch=True), a_symbols_figures(), min_size=1, max_size=4))
def test_our_own_words_always_pass(figures):
    assert unverified_numbers(fact_sheet(figures), figures) == []
    assert unverified_numbers(rule_based_summary(figures), figures) == []


@no_deadline
@given(a_symbols_figures(0.01, 1e5), st.sampled_from(FRACTIONS), st.integers(min_value=0, max_value=2), st.booleans())
def test_every_rounding_of_a_figure_passes(figures, name, decimals, signed):
    value = figures[name] if signed else abs(figures[name])
    assert unverified_numbers(f"It was {value:.{decimals}%}.", {"A": figures}) == []


@no_deadline
@given(a_symbols_figures(0.01, 1e5), st.integers(min_value=2, max_value=100))
def test_a_figure_made_bigger_does_not_pass(figures, step):
    largest = max(abs(figures[other]) for other in FRACTIONS)
    assert unverified_numbers(f"It was {largest + step / 100:.2%}.", {"A": figures}) != []
