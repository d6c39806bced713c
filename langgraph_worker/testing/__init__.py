"""For tests of graphs and of code around the worker: its run store and its broker in memory.

Both pass the contract suites of the real ones. They need neither a database nor Kafka, and nothing here imports a test
framework. The parts are modules of their own:

- :mod:`~langgraph_worker.testing.memory_store`: the run store, without checkpoints;
- :mod:`~langgraph_worker.testing.memory_broker`: topics, consumer groups, a producer and a control topic's reader.
"""

__all__ = ["memory_broker", "memory_store"]
