"""``store`` of ``langgraph.json``: how the long-term memory of the project's graphs finds by meaning and forgets."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from langgraph.store.base import TTLConfig
from langgraph.store.base.embed import ensure_embeddings

from langgraph_worker.domain.json_values import describe
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.graph_spec import GraphSpec
from workflow_events.log_words import with_article

_EMBED = '"provider:model", such as "openai:text-embedding-3-small", or "./path/to/file.py:function"'
_WHOLE = ("$",)


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """``store.index`` as the manifest writes it.

    :param dims: numbers in a vector.
    :param fields: paths of the texts that are embedded; ``$`` is the whole value.
    """

    dims: int
    embed: str
    fields: tuple[str, ...] = _WHOLE


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """``store`` as the manifest writes it.

    :param ttl: LangGraph's, in minutes; None: items do not expire unless a put says so.
    """

    index: IndexSpec | None = None
    ttl: TTLConfig | None = None


@dataclass(frozen=True, slots=True)
class MemoryIndex:
    """How values are found by meaning."""

    dims: int
    embeddings: Embeddings
    fields: tuple[str, ...] = _WHOLE


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """The long-term memory of a project, its embedding function imported."""

    index: MemoryIndex | None = None
    ttl: TTLConfig | None = None


def store_spec(path: Path, value: Any) -> StoreSpec:
    """Read the key. Other keys in it than ``index`` and ``ttl`` are for LangGraph's own server.

    :param path: the manifest.
    :raises GraphLoadError: names the file, the key and what is right.
    """
    if value is None:
        return StoreSpec()
    if not isinstance(value, dict):
        raise GraphLoadError(f"{path}: key 'store' must be an object with 'index', 'ttl' or both")
    return StoreSpec(_index(path, value.get("index")), _ttl(path, value.get("ttl")))


def _index(path: Path, value: Any) -> IndexSpec | None:
    where = f"{path}: key 'store.index"
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise GraphLoadError(f"{where}' must be an object with 'embed' and 'dims'")
    dims, embed, fields = value.get("dims"), value.get("embed"), value.get("fields") or list(_WHOLE)
    if not isinstance(dims, int) or isinstance(dims, bool) or dims < 1:
        raise GraphLoadError(f"{where}.dims' must be how many numbers a vector has, and not {dims!r}")
    if not isinstance(embed, str) or not all(embed.rpartition(":")):
        raise GraphLoadError(f"{where}.embed' must be {_EMBED}, and not {embed!r}")
    fields = [fields] if isinstance(fields, str) else fields
    if not isinstance(fields, list) or not all(isinstance(field, str) and field for field in fields):
        raise GraphLoadError(f'{where}.fields\' must be a list of paths, such as ["text"], and not {fields!r}')
    return IndexSpec(dims, embed, tuple(fields))


def _ttl(path: Path, value: Any) -> TTLConfig | None:
    if value is None:
        return None
    where = f"{path}: key 'store.ttl"
    if not isinstance(value, dict):
        raise GraphLoadError(f"{where}' must be an object with 'default_ttl' (minutes)")
    ttl = TTLConfig(refresh_on_read=_flag(where, value), default_ttl=_minutes(where, value, "default_ttl"))
    sweep = _minutes(where, value, "sweep_interval_minutes")
    if sweep is not None:
        ttl["sweep_interval_minutes"] = sweep  # type: ignore[typeddict-item]  # LangGraph's server takes fractions
    return ttl


def _flag(where: str, value: dict[str, Any]) -> bool:
    found = value.get("refresh_on_read", True)
    if not isinstance(found, bool):
        raise GraphLoadError(f"{where}.refresh_on_read' must be true or false, and not {found!r}")
    return found


def _minutes(where: str, value: dict[str, Any], name: str) -> float | None:
    found = value.get(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < math.inf:
        raise GraphLoadError(f"{where}.{name}' must be a number of minutes above 0, and not {found!r}")
    return found


def load_memory(path: Path, spec: StoreSpec, load: Callable[[GraphSpec], Any]) -> MemoryConfig:
    """Import the embedding function, or make the provider's client.

    :param path: the manifest.
    :param load: gives a variable of a file.
    :raises GraphLoadError: names the file, the key and what is wrong.
    """
    if spec.index is None:
        return MemoryConfig(None, spec.ttl)
    where = f"{path}: key 'store.index.embed' ({spec.index.embed})"
    source, _, variable = spec.index.embed.rpartition(":")
    try:
        embed: Any = spec.index.embed
        if "/" in source or source.endswith(".py"):
            embed = load(GraphSpec("store.index.embed", source, True, variable))
        if not isinstance(embed, str | Embeddings) and not callable(embed):
            raise GraphLoadError(
                f"it is {with_article(type(embed).__name__)}, not a function or LangChain's Embeddings"
            )
        embeddings = ensure_embeddings(embed)
    except GraphLoadError as error:
        raise GraphLoadError(f"{where}: {error}") from None
    except (Exception, SystemExit) as error:
        raise GraphLoadError(
            f"{where}: {type(error).__name__}: {describe(error)}{_cause(error)}. It must be {_EMBED}; "
            "install langchain and the provider's package for the first form"
        ) from error
    return MemoryConfig(MemoryIndex(spec.index.dims, embeddings, spec.index.fields), spec.ttl)


def _cause(error: BaseException) -> str:
    """What failed: of a package that is there, and fails while it is imported, LangChain only says to install it."""
    return "" if error.__cause__ is None else f" ({type(error.__cause__).__name__}: {describe(error.__cause__)})"
