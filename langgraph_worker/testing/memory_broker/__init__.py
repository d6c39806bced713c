"""The worker's broker port in memory: simple rather than fast. Everything belongs to one event loop.

Nothing here waits for time, with two exceptions while the broker is away: a send, and a closing member that has to
commit.
"""

from langgraph_worker.testing.memory_broker.broker import MemoryBroker
from langgraph_worker.testing.memory_broker.control import MemoryControl
from langgraph_worker.testing.memory_broker.events import MemoryEvents
from langgraph_worker.testing.memory_broker.producer import MemoryProducer

__all__ = ["MemoryBroker", "MemoryControl", "MemoryEvents", "MemoryProducer"]
