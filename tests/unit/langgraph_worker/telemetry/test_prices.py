"""Prices as the package has them."""

from __future__ import annotations

import pytest

from langgraph_worker.telemetry.prices import cost_usd, is_known
from workflow_events.results import ModelUsage

pytest.importorskip("genai_prices", reason="the extra 'cost' is not installed")

PLAIN = ModelUsage(input_tokens=1_000_000, output_tokens=100_000, total_tokens=1_100_000)
CACHED = PLAIN.model_copy(update={"cache_read_tokens": 900_000})


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-mini", "openai"),
        ("gpt-4o-mini", None),
        ("gpt-4o", "azure"),
        ("claude-sonnet-4-5-20250929", "anthropic"),
        ("gemini-2.5-flash", "google_genai"),
    ],
)
def test_a_price_is_found_by_langchains_names(model: str, provider: str | None) -> None:
    cost = cost_usd(model, provider, PLAIN)
    assert cost is not None
    assert cost > 0
    assert is_known(model, provider)
    cached = cost_usd(model, provider, CACHED)
    assert cached is not None
    assert cached < cost, "cached input is part of the input, and cheaper"


@pytest.mark.parametrize(("model", "provider"), [("gpt-4o-mini", "ollama"), ("own", "openai"), ("own", None), ("", "")])
def test_a_price_that_is_not_in_the_list_is_not_known(model: str, provider: str | None) -> None:
    assert cost_usd(model, provider, PLAIN) is None
    assert not is_known(model, provider)
