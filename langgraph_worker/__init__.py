"""The worker's side: take requests from Kafka, run LangGraph graphs with checkpoints, reply. Never imports Airflow."""

__version__ = "0.1.0"
