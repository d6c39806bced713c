"""How the suite is spread over several processes, when pytest is told to use them: ``pytest --numprocesses=2``.

Each process has a broker and a PostgreSQL of its own, each only if one of its tests asks.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

LONGEST_FIRST = ("system", "integration", "chaos", "compat", "property", "packaging", "fuzz", "contract", "unit")
"""Folders of tests/, in the order in which their files are given out: what is short fills the gap at the end. System
tests compute, and integration tests wait: they go together.
"""

OWN_AIRFLOW = ("test_demo", "test_dags_test")
"""How the files begin that start all that they need."""

SHARES_AN_AIRFLOW = ("tests/system", "tests/compat")
"""Folders whose files are run by one process, but for those."""


class ByFile(LoadScopeScheduling):
    """Gives out whole files, in the order in which they were collected. What shares an Airflow counts as one."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # it would give out first what has most tests, however short

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder, _, name = file.rpartition("/")
        return folder if folder in SHARES_AN_AIRFLOW and not name.startswith(OWN_AIRFLOW) else file


def put_longest_first(items: list[pytest.Item]) -> None:
    """Order the tests by their folder, those of any other one before the short ones; else they stay as they are."""

    def place(item: pytest.Item) -> int:
        folder = item.nodeid.split("/")[1]
        return LONGEST_FIRST.index(folder if folder in LONGEST_FIRST else "property")

    items.sort(key=place)
