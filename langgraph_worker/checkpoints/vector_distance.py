"""The distance between vectors in SQLite, which LangGraph's search calls: sqlite-vec's, or one in Python.

Many Pythons are built without extensions for SQLite, pyenv's and macOS's own among them. LangGraph's tables need none
of sqlite-vec, and its query only this function.
"""

from __future__ import annotations

import math
import sqlite3
from array import array
from functools import lru_cache
from operator import mul

import sqlite_vec  # type: ignore[import-untyped]


def prepare_distances(connection: sqlite3.Connection) -> None:
    """Give the connection the function that LangGraph's search by meaning calls."""
    try:
        connection.execute("SELECT vec_version()")
        return  # a connection that was prepared before
    except sqlite3.OperationalError:
        pass
    try:
        connection.enable_load_extension(True)
        sqlite_vec.load(connection)
        connection.enable_load_extension(False)
    except (AttributeError, sqlite3.OperationalError):
        connection.create_function("vec_version", 0, lambda: "Python", deterministic=True)
        connection.create_function("vec_distance_cosine", 2, cosine_distance, deterministic=True)


def cosine_distance(stored: bytes, wanted: bytes) -> float | None:
    """0 for the same direction, 1 for a right angle, 2 for the opposite one; None if one of them has no direction.

    :param stored: numbers of four bytes, as sqlite-vec stores a vector.
    :param wanted: the same of every row of a search.
    """
    one, one_length = _read(stored)
    other, other_length = _read_again(wanted)
    lengths = one_length * other_length
    return 1.0 - sum(map(mul, one, other)) / lengths if lengths else None


def _read(vector: bytes) -> tuple[array[float], float]:
    numbers = array("f", vector)
    return numbers, math.hypot(*numbers)


_read_again = lru_cache(maxsize=16)(_read)
