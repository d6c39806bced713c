from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_langgraph.triggers.seen import OVERHEAD, SeenResults, size_of
from workflow_events.codec import Record


def record(partition, offset, size=1):
    return Record("r", partition, offset, b"x" * size)


def test_the_first_of_a_correlation_id_stands():
    seen = SeenResults()
    seen.add(b"a", record(0, 1))
    seen.add(b"a", record(0, 9))
    assert seen.get(b"a").offset == 1
    assert seen.get(b"b") is None


def test_age_forgets_and_says_so():
    clock = [0.0]
    seen = SeenResults(max_age=10, now=lambda: clock[0])
    seen.complete_from = {0: 5, 1: 0}
    seen.add(b"a", record(0, 7))
    clock[0] = 11
    seen.trim()
    assert seen.get(b"a") is None
    assert seen.complete_from == {0: 8, 1: 0}


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 12)), max_size=60),
    st.integers(0, 6 * OVERHEAD),
)
def test_whatever_it_claims_to_remember_it_does(sizes, max_bytes):
    seen = SeenResults(max_bytes=max_bytes)
    seen.complete_from = {0: 0, 1: 0, 2: 0}
    offsets = {0: 0, 1: 0, 2: 0}
    written = []
    for partition, size, number in sizes:
        key = str(number).encode()  # the same now and then: results are repeated
        written.append((key, partition, offsets[partition]))
        seen.add(key, record(partition, offsets[partition], size))
        offsets[partition] += 1

    for key, partition, offset in written:
        if offset >= seen.complete_from[partition]:
            assert seen.get(key) is not None
    assert sum(size_of(seen.get(key)) for key in {key for key, *_ in written} if seen.get(key)) <= max_bytes
