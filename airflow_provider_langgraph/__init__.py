"""Airflow's side: publish a request to Kafka, free the slot, wait for the agent's reply."""

from importlib.metadata import version

__version__ = version("airflow-provider-langgraph")
"""As ``pyproject.toml`` says."""
