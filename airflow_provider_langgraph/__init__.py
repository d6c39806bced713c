"""Airflow's side: publish a request to Kafka, free the slot, wait for the agent's reply."""

__version__ = "0.1.0"
