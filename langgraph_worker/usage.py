"""Counting a run's tokens."""

from __future__ import annotations

from langchain_core.callbacks import UsageMetadataCallbackHandler


class UsageCounter(UsageMetadataCallbackHandler):
    """LangChain's counter of tokens by model, without what it would cost a run that calls none.

    LangChain hands a synchronous handler every start and end of every node, each through a thread of its own.
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
