"""Chat models whose answers cost tokens, and price lists."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langgraph_worker.execution import run_meter
from langgraph_worker.telemetry import prices


class PaidModel(BaseChatModel):
    """Every answer takes the same tokens: a tenth of them are its output."""

    name_of_model: str | None = "big"
    provider: str = "openai"
    tokens: int | None = 100
    calls: int = 0
    before: Callable[[int], Any] | None = None

    @property
    def _llm_type(self) -> str:
        return "paid"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        named = {} if self.name_of_model is None else {"ls_model_name": self.name_of_model}
        return {"ls_provider": self.provider, "ls_model_type": "chat", **named}

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.calls += 1
        if self.before is not None:
            self.before(self.calls)
        output = (self.tokens or 0) // 10
        usage: Any = None
        if self.tokens is not None:
            usage = {"input_tokens": self.tokens - output, "output_tokens": output, "total_tokens": self.tokens}
        about = {} if self.name_of_model is None else {"model_name": self.name_of_model}
        message = AIMessage(f"answer {self.calls}", usage_metadata=usage, response_metadata=about)
        return ChatResult(generations=[ChatGeneration(message=message)])


def sell(monkeypatch: pytest.MonkeyPatch, **usd: float) -> None:
    """Let a token of each of these models cost so much, and know the price of no other one."""

    def calc_price(usage: Any, *, model_ref: str, provider_id: str | None) -> Any:
        if model_ref not in usd:
            raise LookupError(model_ref)
        tokens = usage.input_tokens + usage.output_tokens
        return SimpleNamespace(total_price=Decimal(str(usd[model_ref])) * tokens)

    bought = SimpleNamespace(Usage=SimpleNamespace, calc_price=calc_price)
    for module in (prices, run_meter):
        monkeypatch.setattr(module, "price_list", lambda: bought)


def sell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the package with the prices were not installed."""
    for module in (prices, run_meter):
        monkeypatch.setattr(module, "price_list", lambda: None)
