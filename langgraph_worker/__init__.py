"""The worker's side: take requests from Kafka, run LangGraph graphs with checkpoints, reply. Never imports Airflow."""

from importlib.metadata import version

__version__ = version("airflow-provider-langgraph")
"""As ``pyproject.toml`` says."""
