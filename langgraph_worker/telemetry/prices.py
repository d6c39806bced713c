"""What a call of a model costs, by the list prices that the package ``genai-prices`` brings. Nothing is downloaded.

The package is the distribution's extra ``cost``. Without it no price is known.
"""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType

from workflow_events.results import ModelUsage

_PROVIDERS = {
    "amazon_bedrock": "aws",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "google_anthropic_vertex": "anthropic",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistralai": "mistral",
    "xai": "x-ai",
}
"""LangChain's names of providers, where those of the price list differ."""


@cache
def price_list() -> ModuleType | None:
    """The package; None if it is not installed. The first call of a process reads the list, which takes a second."""
    try:
        prices = importlib.import_module("genai_prices")
    except ImportError:
        return None
    _cost(prices, "gpt-4o", "openai", ModelUsage())
    return prices


def cost_usd(model: str, provider: str | None, used: ModelUsage) -> float | None:
    """The cost of one call in US dollars; None if the price is not known.

    :param provider: LangChain's name of it. Of a provider that the list does not have, such as a server of one's own,
        no price is known, even if another one sells a model of the same name.
    """
    prices = price_list()
    if prices is None:
        return None
    name = None if provider is None else provider.lower()
    return _cost(prices, model, None if name is None else _PROVIDERS.get(name, name), used)


def is_known(model: str, provider: str | None) -> bool:
    """Whether a model's price is known."""
    return cost_usd(model, provider, ModelUsage()) is not None


def _cost(prices: ModuleType, model: str, provider: str | None, used: ModelUsage) -> float | None:
    usage = prices.Usage(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cache_read_tokens=min(used.cache_read_tokens, used.input_tokens),
        cache_write_tokens=min(used.cache_write_tokens, max(0, used.input_tokens - used.cache_read_tokens)),
    )
    try:
        return float(prices.calc_price(usage, model_ref=model, provider_id=provider).total_price)
    except (LookupError, ValueError, TypeError):
        return None
