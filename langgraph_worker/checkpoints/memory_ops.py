"""What a graph asks of the long-term memory: the values that it may put, and what is written for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from langgraph.store.base import GetOp, Item, Op, PutOp, Result, SearchOp

from langgraph_worker.domain.memory import MemoryLimits
from langgraph_worker.errors import MemoryFullError, MemoryValueError
from langgraph_worker.store.sql.memory_rows import ItemKey

_PUTS_AT_ONCE = 100  # LangGraph writes them in one statement, whose values are limited
_TEXTS_AT_ONCE = 8_000  # each has four values in a statement, and SQLite's has at most 32,766


@dataclass(frozen=True, slots=True)
class Asked:
    """The operations of one batch, as they are stored.

    :param puts: of two with one key the later one, as many together as one statement may write.
    :param texts: what has to be embedded for all of it.
    """

    ops: Sequence[Op]
    puts: Sequence[Sequence[PutOp]]
    texts: Collection[str]


def storable(op: PutOp, limits: MemoryLimits) -> PutOp:
    """The operation with a value of its own, as JSON holds it: the graph may change its value later.

    :param op: with the graph's own namespace.
    :raises MemoryValueError: the value is none that JSON can hold.
    :raises MemoryFullError: the value is too large.
    """
    where = f"store.put: key {op.key!r} in {op.namespace!r}"
    if op.value is None:
        return op
    if not isinstance(op.value, dict):
        raise MemoryValueError(f"{where}: the value must be a dict that JSON can hold, not {type(op.value).__name__}")
    try:
        text = json.dumps(op.value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
        value = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise MemoryValueError(f"{where}: the value must be a dict that JSON can hold: {error}") from error
    if size > limits.max_item_bytes:
        raise MemoryFullError(
            f"{where}: the value has {size:,} bytes as JSON; LANGGRAPH_WORKER_MAX_MEMORY_ITEM_BYTES="
            f"{limits.max_item_bytes} is the limit for one item. Split it, or raise the limit"
        )
    return op._replace(value=value)


def asked(ops: Sequence[Op], texts_of: Callable[[PutOp], Collection[str]]) -> Asked:
    """Prepare a batch.

    :param ops: with the namespaces as stored.
    :param texts_of: what a put has to have embedded.
    :raises MemoryValueError: a put has more texts than one statement may write.
    """
    puts = {(op.namespace, op.key): op for op in ops if isinstance(op, PutOp)}.values()
    with_texts = [(op, texts_of(op)) for op in puts]
    queries = [op.query for op in ops if isinstance(op, SearchOp) and op.query]
    embedded = [text for _, texts in with_texts for text in texts]
    return Asked(ops, list(_batches((op, len(texts)) for op, texts in with_texts)), [*embedded, *queries])


def _batches(puts: Iterable[tuple[PutOp, int]]) -> Iterator[Sequence[PutOp]]:
    batch: list[PutOp] = []
    texts = 0
    for op, count in puts:
        if count > _TEXTS_AT_ONCE:
            raise MemoryValueError(
                f"store.put: key {op.key!r} in {op.namespace[1:]!r}: the value has {count:,} texts to embed, and one "
                f"item may have {_TEXTS_AT_ONCE:,}: split it, or name fewer with index=[...]"
            )
        if len(batch) == _PUTS_AT_ONCE or texts + count > _TEXTS_AT_ONCE:
            yield batch
            batch, texts = [], 0
        batch.append(op)
        texts += count
    if batch:
        yield batch


def key_of(op: PutOp | GetOp) -> ItemKey:
    """The row that an operation names, with the namespace as stored."""
    return ".".join(op.namespace), op.key


def still(op: Op) -> Op:
    """The operation without its refresh of what it reads: that is a write, and has a transaction of its own."""
    return op._replace(refresh_ttl=False) if isinstance(op, GetOp | SearchOp) else op


def to_refresh(ops: Sequence[Op], results: Sequence[Result]) -> Collection[ItemKey]:
    """The rows that these operations have read and that should live longer for it."""
    keys: set[ItemKey] = set()
    for op, result in zip(ops, results, strict=True):
        if not isinstance(op, GetOp | SearchOp) or not op.refresh_ttl:
            continue
        found = result if isinstance(result, list) else [result]
        keys.update((".".join(item.namespace), item.key) for item in found if isinstance(item, Item))
    return keys
