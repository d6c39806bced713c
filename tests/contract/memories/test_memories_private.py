"""What the long-term memory uses of LangGraph's stores that is not public, pinned for each version of LangGraph."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langgraph.store.base import BaseStore, GetOp, ListNamespacesOp, PutOp, SearchOp
from langgraph.store.postgres import PostgresStore
from langgraph.store.sqlite import SqliteStore

from langgraph_worker.checkpoints.memories import RunMemory
from langgraph_worker.checkpoints.memory_postgres import PostgresMemory
from langgraph_worker.checkpoints.memory_sqlite import SqliteMemory
from langgraph_worker.store.engines.database import Statement
from tests.support.word_vectors import vectors


class Connectionless:
    def create_function(self, *_: Any, **__: Any) -> None:
        """Nothing is executed."""


PUTS = [PutOp(("m", "n"), "k", {"x": 1}, ttl=5), PutOp(("m", "n"), "gone", None), PutOp(("m",), "k", {"x": 2})]


@pytest.mark.parametrize(("store", "option"), [(PostgresStore, "pipeline"), (SqliteStore, "transaction")])
def test_a_batch_gets_its_cursor_from_one_private_method(store, option):
    found = inspect.signature(store._cursor)
    assert list(found.parameters) == ["self", option], f"{store.__name__}._cursor: _Recorder overrides it"
    source = inspect.getsource(store.batch)
    assert source.count("self._cursor(") == 1
    for name in ("batch", "_batch_put_ops", "_batch_get_ops", "_batch_search_ops", "_batch_list_namespaces_ops"):
        assert "self.conn" not in inspect.getsource(getattr(store, name)), f"{name} goes past _cursor"


@pytest.mark.parametrize("dialect", [PostgresMemory(None, None), SqliteMemory(None, None)])  # type: ignore[arg-type]
def test_puts_are_statements_that_read_nothing_and_say_what_they_write(dialect):
    statements: list[Statement] = list(dialect.record(PUTS, None))
    assert [statement.sql.split()[0] for statement in statements] == ["DELETE", "INSERT"]
    assert all(" store " in statement.sql and not statement.many for statement in statements)
    [deleted], [inserted] = statements[0].rows, statements[1].rows
    assert list(deleted) == ["m.n", "gone"], "a namespace is not stored as its labels joined by periods"
    assert (inserted[:2], "m") == (["m.n", "k"], inserted[-5 if isinstance(dialect, SqliteMemory) else -4])


@pytest.mark.parametrize("store", [PostgresStore, SqliteStore])
def test_a_search_by_meaning_ends_with_its_three_bounds(store):
    """The readers replace the first of them, see look_at_all()."""
    index = {"dims": 3, "embed": vectors, "fields": ["$"], "text_fields": ["$"]}
    made = store(Connectionless(), index=index)  # type: ignore[arg-type]
    search = SearchOp(("n",), query="tea", limit=7, offset=5, refresh_ttl=False)
    [query], [(number, text)] = made._prepare_batch_search_queries([(0, search)])
    assert (number, text) == (0, "tea")
    assert query[1][-2:] == [7, 5]
    assert isinstance(query[1], list)
    assert query[1][-3] > 7
    if store is PostgresStore:
        assert query[0].count("1 - uniq.neg_score") == query[0].count("ORDER BY score DESC") == 1


def test_sqlites_store_reads_within_a_transaction_and_leaves_it_open():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    SqliteStore(connection).setup()

    class Reader(SqliteStore):
        @contextmanager
        def _cursor(self, *, transaction: bool = True) -> Iterator[Any]:
            yield self.conn.cursor()

    connection.execute("BEGIN")
    assert Reader(connection).batch([GetOp(("n",), "k"), SearchOp(()), ListNamespacesOp()]) == [None, [], []]
    assert connection.in_transaction
    connection.close()


def test_every_method_of_a_store_goes_through_its_batch():
    """One that a later version adds must not go past the lease, or past the namespaces."""
    methods = {name for name, found in inspect.getmembers(BaseStore, callable) if not name.startswith("_")}
    known = {"get", "search", "put", "delete", "list_namespaces"}
    assert methods == {"batch", "abatch", *known, *(f"a{name}" for name in known)}
    for name in known:
        assert "self.batch(" in inspect.getsource(getattr(BaseStore, name))
        assert "self.abatch(" in inspect.getsource(getattr(BaseStore, f"a{name}"))
    assert {name for name in vars(RunMemory) if not name.startswith("_")} == {"batch", "abatch", "supports_ttl"}
