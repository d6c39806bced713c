"""The worker's broker port in memory: obvious rather than fast. Everything belongs to one event loop.

Nothing here waits for time but a send, and a closing member that owes a commit, while the broker is away.
"""

from tests.support.memory_broker.broker import MemoryBroker
from tests.support.memory_broker.control import MemoryControl
from tests.support.memory_broker.events import MemoryEvents
from tests.support.memory_broker.producer import MemoryProducer

__all__ = ["MemoryBroker", "MemoryControl", "MemoryEvents", "MemoryProducer"]
