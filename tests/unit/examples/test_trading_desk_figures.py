"""The trading desk's figures, against values computed another way, and its check of the input."""

from __future__ import annotations

import csv
import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trading_desk.figures import Drawdown, max_drawdown, measure, returns, volatility
from trading_desk.prices import BadInput, check_quotes, split_by_symbol

STOCKS = Path(__file__).parents[3] / "example_graphs" / "data" / "stocks.csv"
no_deadline = settings(deadline=None)  # other work shares the machine
PRICES = st.lists(st.floats(min_value=0.01, max_value=1e5), min_size=3, max_size=30)


def quotes(*prices: Any, first_month: int = 1) -> list[dict[str, Any]]:
    return [{"row": row, "date": f"2005-{first_month + row:02}-01", "price": price} for row, price in enumerate(prices)]


class TestFigures:
    def test_a_case_done_by_hand(self):
        # Returns: +10 %, -20 %, +25 %. Mean 5 %; deviations 5, -25, 20 %; variance (25 + 625 + 400) / 2 = 525.
        figures = measure(["2005-01-01", "2005-02-01", "2005-03-01", "2005-04-01"], [100, 110, 88, 110])
        assert figures == {
            "frequency": "monthly",
            "prices": 4,
            "first_date": "2005-01-01",
            "last_date": "2005-04-01",
            "first_price": 100,
            "last_price": 110,
            "total_return": 0.1,
            "mean_return": 0.05,
            "best_return": 0.25,
            "worst_return": -0.2,
            "volatility": 0.2291,  # sqrt(0.0525) = 0.229129
            "annual_volatility": 0.7937,  # sqrt(0.0525 * 12) = 0.793725
            "max_drawdown": 0.2,
            "peak_date": "2005-02-01",
            "trough_date": "2005-03-01",
        }

    @pytest.mark.parametrize(
        ("prices", "expected"),
        [
            ([1, 2, 3], Drawdown(0.0, 0, 0)),
            ([4, 2, 1], Drawdown(0.75, 0, 2)),
            ([2, 1, 4, 2, 4], Drawdown(0.5, 0, 1)),  # two equally deep: the first
            ([5, 4, 10, 6, 8, 5, 20, 16], Drawdown(0.5, 2, 5)),  # not from the highest peak, nor to the lowest price
        ],
    )
    def test_drawdown(self, prices, expected):
        assert max_drawdown(prices) == expected

    def test_real_prices_agree_with_the_file(self):
        with STOCKS.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["symbol"] == "AAPL"]
        prices = [float(row["price"]) for row in rows]
        figures = measure([row["date"] for row in rows], prices)
        exact = [Fraction(row["price"]) for row in rows]
        changes = [after / before - 1 for before, after in pairwise(exact)]
        mean = sum(changes) / len(changes)
        variance = sum((change - mean) ** 2 for change in changes) / (len(changes) - 1)
        assert len(exact) == 123
        assert figures["total_return"] == round(float(exact[-1] / exact[0] - 1), 4) == 7.5975
        assert figures["mean_return"] == round(float(mean), 4)
        assert figures["volatility"] == round(math.sqrt(variance), 4)
        assert figures["annual_volatility"] == round(math.sqrt(variance * 12), 4)
        assert (figures["peak_date"], figures["trough_date"]) == ("2000-03-01", "2003-03-01")
        assert figures["max_drawdown"] == round(float(1 - Fraction("7.07") / Fraction("33.95")), 4)

    @no_deadline
    @given(PRICES, st.floats(min_value=1e-3, max_value=1e3))
    def test_another_currency_changes_nothing(self, prices, rate):
        before, after = returns(prices), returns([price * rate for price in prices])
        assert after == pytest.approx(before, rel=1e-6, abs=1e-9)
        assert max_drawdown([price * rate for price in prices]).depth == pytest.approx(
            max_drawdown(prices).depth, abs=1e-9
        )

    @no_deadline
    @given(PRICES)
    def test_returns_lead_from_the_first_price_to_the_last(self, prices):
        assert prices[0] * math.prod(1 + change for change in returns(prices)) == pytest.approx(prices[-1])

    @no_deadline
    @given(PRICES)
    def test_drawdown_is_the_deepest_of_all_falls(self, prices):
        fall = max_drawdown(prices)
        assert 0 <= fall.depth < 1
        assert fall.peak <= fall.trough
        assert fall.depth == max(
            1 - prices[later] / prices[earlier] for later in range(len(prices)) for earlier in range(later + 1)
        )
        assert fall.depth == 1 - prices[fall.trough] / prices[fall.peak]

    @no_deadline
    @given(PRICES)
    def test_volatility_is_within_the_span_of_the_returns(self, prices):
        changes = returns(prices)
        # A sample of two has the largest: span / sqrt(2).
        assert 0 <= volatility(changes) <= (max(changes) - min(changes)) / math.sqrt(2) * (1 + 1e-9)

    @no_deadline
    @given(st.floats(min_value=0.01, max_value=1e5), st.integers(min_value=3, max_value=20))
    def test_a_price_that_never_moves(self, price, months):
        changes = returns([price] * months)
        assert (max(changes), volatility(changes), max_drawdown([price] * months).depth) == (0, 0, 0)


class TestInput:
    def test_rows_are_split_by_symbol_and_keep_their_number(self):
        rows = [
            {"symbol": "A", "date": "2005-01-01", "price": 1},
            {"symbol": "B.K-3", "date": "2005-01-01", "price": 2},
            {"symbol": "A", "date": "2005-02-01", "price": 3},
        ]
        assert split_by_symbol(rows) == {
            "A": [
                {"row": 0, "date": "2005-01-01", "price": 1},
                {"row": 2, "date": "2005-02-01", "price": 3},
            ],
            "B.K-3": [{"row": 1, "date": "2005-01-01", "price": 2}],
        }
        assert list(split_by_symbol(rows, ["B.K-3", "A", "B.K-3"])) == ["B.K-3", "A"]

    @pytest.mark.parametrize(
        ("prices", "symbols", "message"),
        [
            (None, None, "^prices: a list of rows is needed"),
            ([], None, "^prices: a list of rows is needed"),
            ("AAPL", None, "^prices: a list of rows is needed"),
            ([{"symbol": "A"}, 7], None, r"^prices\[1\]: 7 is not an object"),
            ([{"date": "2005-01-01", "price": 1}], None, r"^prices\[0\]\.symbol: None is not a symbol"),
            ([{"symbol": "1.5"}], None, r"^prices\[0\]\.symbol: '1.5' is not a symbol"),
            ([{"symbol": "A B"}], None, r"^prices\[0\]\.symbol: 'A B' is not a symbol"),
            ([{"symbol": "A"}, {"symbol": "A" * 13}], None, r"^prices\[1\]\.symbol: 'A{13}' is not a symbol"),
            ([{"symbol": "A"}], "A", "^symbols: 'A' is not a list"),
            ([{"symbol": "A"}], [], r"^symbols: \[\] is not a list with at least one symbol"),
            ([{"symbol": "A"}], [["A"]], r"^symbols\[0\]: \['A'\] has no rows in prices; there are A$"),
            ([{"symbol": "A"}, {"symbol": "B"}], ["A", "TSLA"], r"^symbols\[1\]: 'TSLA' has no rows .* A, B$"),
        ],
    )
    def test_a_bad_order(self, prices, symbols, message):
        with pytest.raises(BadInput, match=message):
            split_by_symbol(prices, symbols)

    @pytest.mark.parametrize(
        ("price", "shown"),
        [
            (0, "0"),
            (-1.5, "-1.5"),
            (math.nan, "nan"),
            (math.inf, "inf"),
            (10**400, "1000"),
            (True, "True"),
            (None, "None"),
            ("25.94", "'25.94'"),
            ("9" * 1000, "'999999999999...9999999999999'"),
        ],
    )
    def test_a_bad_price(self, price, shown):
        with pytest.raises(BadInput, match=rf"^prices\[2\]\.price: {shown}.*\(A\) is not a number"):
            check_quotes("A", quotes(1.0, 2.0, price))

    @pytest.mark.parametrize("day", [None, 20050101, "", "Jan 1 2005", "2005-02-30", "20050101", "2005-W01-1"])
    def test_a_bad_date(self, day):
        with pytest.raises(BadInput, match=r"^prices\[41\]\.date: .* is not a date such as"):
            check_quotes("A", [{"row": 41, "date": day, "price": 1.0}])

    @pytest.mark.parametrize(
        ("days", "fault"),
        [
            (["2005-01-01", "2005-01-01", "2005-02-01"], (1, 0)),
            (["2005-01-01", "2005-01-31", "2005-02-01"], (1, 0)),  # two in one month
            (["2005-02-01", "2005-01-01", "2005-03-01"], (1, 0)),  # not sorted
            (["2005-01-01", "2005-02-01", "2005-04-01"], (2, 1)),  # a month is missing
        ],
    )
    def test_dates_out_of_step(self, days, fault):
        rows = [{"row": row, "date": day, "price": 1.0} for row, day in enumerate(days)]
        with pytest.raises(BadInput, match=rf"^prices\[{fault[0]}\]\.date: .*\(A\).* prices\[{fault[1]}\]; rows must"):
            check_quotes("A", rows)

    def test_the_turn_of_a_year_is_one_month(self):
        days = ["2005-11-30", "2005-12-31", "2006-01-02"]
        check_quotes("A", [{"row": row, "date": day, "price": 1} for row, day in enumerate(days)])

    def test_too_few(self):
        with pytest.raises(BadInput, match=r"^prices\[1\]: the last row of A, which has 2; at least 3 are needed"):
            check_quotes("A", quotes(1.0, 2.0))
