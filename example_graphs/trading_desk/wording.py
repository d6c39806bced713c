"""The figures in words: the lines that the chat model gets, and the summary that needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from trading_desk.figures import Figures


def percent(fraction: float) -> str:
    """0.1234 as `12.34%`."""
    return f"{Decimal(str(fraction)) * 100:,.2f}%"


def money(price: float) -> str:
    """1234.5 as `1,234.50`; prices under one keep the digits that they have."""
    return f"{price:,.2f}" if price >= 1 else f"{price:.6f}".rstrip("0")


def fact_sheet(figures: Mapping[str, Figures]) -> str:
    """One line a symbol, every figure in it."""
    return "\n".join(
        f"{symbol}: {it['prices']} monthly prices from {it['first_date'][:7]} ({money(it['first_price'])}) to "
        f"{it['last_date'][:7]} ({money(it['last_price'])}); total return {percent(it['total_return'])}; "
        f"mean monthly return {percent(it['mean_return'])}, best {percent(it['best_return'])}, "
        f"worst {percent(it['worst_return'])}; monthly volatility {percent(it['volatility'])}, "
        f"annualised {percent(it['annual_volatility'])}; maximum drawdown {percent(it['max_drawdown'])} "
        f"({it['peak_date'][:7]} to {it['trough_date'][:7]})"
        for symbol, it in figures.items()
    )


def rule_based_summary(figures: Mapping[str, Figures]) -> str:
    """A sentence a symbol, and one that compares them if there are several. Same figures, same text."""
    sentences = [_sentence(symbol, it) for symbol, it in figures.items()]
    if len(figures) > 1:
        best = max(figures, key=lambda symbol: figures[symbol]["total_return"])
        calmest = min(figures, key=lambda symbol: figures[symbol]["volatility"])
        also = "" if calmest == best else f"{calmest} "
        sentences.append(f"Of the {len(figures)} symbols {best} returned most and {also}moved least.")
    return " ".join(sentences)


def _sentence(symbol: str, it: Figures) -> str:
    total = it["total_return"]
    moved = f"{'rose' if total > 0 else 'fell'} {percent(abs(total))}" if total else "ended where it began"
    fall = f"its deepest fall was {percent(it['max_drawdown'])}, from {it['peak_date'][:7]} to {it['trough_date'][:7]}"
    return (
        f"{symbol} {moved} from {it['first_date'][:7]} to {it['last_date'][:7]}, "
        f"with a monthly volatility of {percent(it['volatility'])}; "
        f"{fall if it['max_drawdown'] else 'it had no fall to speak of'}."
    )
