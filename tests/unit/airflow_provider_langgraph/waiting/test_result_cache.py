from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_langgraph.kafka.topic_reader import OVERHEAD_BYTES, size_of
from airflow_provider_langgraph.waiting.result_cache import ResultCache


def record(partition, offset, size=1):
    return partition, offset, b"x" * size, []


def test_the_first_of_a_correlation_id_stands():
    seen = ResultCache()
    seen.add(b"a", *record(0, 1))
    seen.add(b"a", *record(0, 9))
    assert seen.get(b"a").offset == 1
    assert seen.get(b"b") is None


def test_age_forgets_and_says_so():
    clock = [0.0]
    seen = ResultCache(max_age_seconds=10, now=lambda: clock[0])
    seen.complete_from = {0: 5, 1: 0}
    seen.add(b"a", *record(0, 7))
    clock[0] = 11
    seen.trim()
    assert seen.get(b"a") is None
    assert seen.complete_from == {0: 8, 1: 0}


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 12)), max_size=60),
    st.integers(0, 6 * OVERHEAD_BYTES),
)
def test_whatever_it_claims_to_remember_it_does(sizes, max_bytes):
    seen = ResultCache(max_bytes=max_bytes)
    seen.complete_from = {0: 0, 1: 0, 2: 0}
    offsets = {0: 0, 1: 0, 2: 0}
    written = []
    for partition, size, number in sizes:
        key = str(number).encode()  # the same now and then: results are repeated
        written.append((key, partition, offsets[partition]))
        seen.add(key, *record(partition, offsets[partition], size))
        seen.trim()
        offsets[partition] += 1

    for key, partition, offset in written:
        if offset >= seen.complete_from[partition]:
            assert seen.get(key) is not None
    kept = [found for key in {key for key, *_ in written} if (found := seen.get(key))]
    assert sum(size_of(found.value, found.headers) for found in kept) <= max_bytes


@given(st.data())
def test_what_was_read_back_is_joined_only_where_it_touches(data):
    """A read back up to ``end``, while the memory itself begins later by now or does not."""
    records = st.lists(st.integers(0, 9), max_size=12)
    past, seen = ResultCache(), ResultCache(max_bytes=data.draw(st.sampled_from([4 * OVERHEAD_BYTES, 10**6])))
    log = {partition: data.draw(records) for partition in range(2)}
    starts = {partition: data.draw(st.integers(0, len(log[partition]))) for partition in log}
    ends = {partition: data.draw(st.integers(starts[partition], len(log[partition]))) for partition in log}
    begins = {partition: data.draw(st.integers(0, len(log[partition]))) for partition in log}
    past.complete_from, seen.complete_from = dict(starts), dict(begins)
    for partition, keys in log.items():
        for offset, key in enumerate(keys):
            if starts[partition] <= offset < ends[partition]:
                past.add(str(key).encode(), *record(partition, offset))
            if begins[partition] <= offset:
                seen.add(str(key).encode(), *record(partition, offset))

    seen.trim()

    seen.put_before(past, ends)

    for partition, keys in log.items():
        for offset in range(seen.complete_from[partition], len(keys)):
            assert seen.get(str(keys[offset]).encode()) is not None
