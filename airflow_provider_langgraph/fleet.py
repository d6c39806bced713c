"""Which topics a task uses: those its operator names, else those of Airflow's configuration."""

from __future__ import annotations

from typing import Literal

from airflow.providers.common.compat.sdk import conf

from workflow_events.topics import Fleet


def configured_topic(purpose: Literal["events", "results", "control", "progress"], named: str | None = None) -> str:
    """The topic that an operator names, else ``[langgraph] <purpose>_topic``."""
    return named or str(conf.get("langgraph", f"{purpose}_topic", fallback=getattr(Fleet(), purpose)))
