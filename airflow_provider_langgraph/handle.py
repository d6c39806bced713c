"""The documented import path of :class:`RequestHandle`."""

from airflow_provider_langgraph.requests.handle import RequestHandle

__all__ = ["RequestHandle"]
