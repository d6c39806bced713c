"""The test tools are part of the package: they load without the worker's libraries, and without a test framework."""

from __future__ import annotations

import subprocess
import sys

import langgraph_worker.testing

HEAVY = ("alembic", "confluent_kafka", "hypothesis", "langgraph", "psycopg", "pytest", "sqlalchemy", "tests")
_SCRIPT = """
import sys
from langgraph_worker.testing import *
print(memory_broker.MemoryBroker.__name__, memory_store.MemoryRunStore.__name__)
print(*(name for name in {heavy} if name in sys.modules))
"""


def test_the_stores_and_brokers_in_memory_load_nothing_heavy() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(heavy=HEAVY)], capture_output=True, text=True, check=True, timeout=15
    )
    assert found.stdout.splitlines() == ["MemoryBroker MemoryRunStore", ""]


def test_its_modules_are_named() -> None:
    assert langgraph_worker.testing.__all__ == ["memory_broker", "memory_store"]
