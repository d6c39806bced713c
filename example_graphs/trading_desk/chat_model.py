"""Which chat model writes the summary: the run's own, else the environment's, else none."""

from __future__ import annotations

import os

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langchain_ollama import ChatOllama

LONGEST_REPLY = 300  # tokens
SILENCE = 60.0  # seconds without a byte from the server, and to connect


# [START chat_model]
def chosen_model(config: RunnableConfig) -> str | None:
    """`config["configurable"]["model"]`, else OLLAMA_MODEL, else None. An empty name is none."""
    return config.get("configurable", {}).get("model") or os.environ.get("OLLAMA_MODEL") or None


def ollama_chat_model(name: str) -> BaseChatModel:
    """The model on the Ollama server at OLLAMA_HOST (default: this machine). Nothing is sent yet."""
    return ChatOllama(
        model=name,
        base_url=os.environ.get("OLLAMA_HOST"),
        temperature=0,
        seed=0,
        num_predict=LONGEST_REPLY,
        reasoning=False,
        # A client serves one question, so it keeps no connection open after it.
        client_kwargs={"timeout": SILENCE, "headers": {"connection": "close"}},
    )


# [END chat_model]
