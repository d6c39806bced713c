"""Counting a run's tokens."""

from __future__ import annotations

from langchain_core.callbacks import UsageMetadataCallbackHandler


class UsageCounter(UsageMetadataCallbackHandler):
    """LangChain's counter of tokens by model, without its cost for runs that call no model.

    LangChain passes every start and end of every node to a synchronous handler, each through a thread.
    """

    run_inline = True

    @property
    def ignore_chain(self) -> bool:
        """Nodes spend no tokens."""
        return True

    @property
    def ignore_retriever(self) -> bool:
        """Neither do retrievers."""
        return True

    @property
    def ignore_agent(self) -> bool:
        """Nor tools."""
        return True
