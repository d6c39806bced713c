"""What a shared consumer may rely on, of Kafka and of the log in memory that stands in for it in the state machine."""

from __future__ import annotations

import pytest


@pytest.fixture
def reader(log):
    reader = log.reader()
    reader.partitions()
    return reader


def read(reader, count):
    """Records as they come, until there are so many."""
    found = []
    while len(found) < count:
        found += reader.read(0.1)
    return [(message.partition(), message.offset(), message.value()) for message in found]


def read_until_lost(reader):
    while not reader.lost:
        assert not [*reader.read(0.1)]


def test_it_reads_from_where_it_stands(log, reader):
    for value in b"a", b"b", b"c":
        log.write(1, value, [("correlation-id", b"k")])
    reader.stand_at({0: 0, 1: 1, 2: 0})
    assert read(reader, 2) == [(1, 1, b"b"), (1, 2, b"c")]
    assert reader.next == {0: 0, 1: 3, 2: 0}


def test_headers_may_be_missing(log, reader):
    reader.stand_at({0: 0})
    log.write(0, None, [])
    log.write(0, b"x", [("correlation-id", b"k")])
    found = []
    while len(found) < 2:
        found += reader.read(0.1)
    assert [message.headers() for message in found] == [None, [("correlation-id", b"k")]]
    assert found[0].value() is None


def test_watermarks_and_ends(log, reader):
    for value in b"a", b"b", b"c":
        log.write(2, value, [])
    log.retain(2, 2)
    assert reader.watermarks(2) == (2, 3)
    assert log.ends().offsets == {0: 0, 1: 0, 2: 3}
    assert (log.ends().cluster, log.ends().topic_id) == (reader.cluster, reader.topic_id)


def test_an_offset_that_retention_has_removed_is_lost_not_skipped(log, reader):
    for value in b"a", b"b", b"c":
        log.write(0, value, [])
    log.retain(0, 2)
    reader.stand_at({0: 0})
    read_until_lost(reader)
    assert reader.lost == {0}
    reader.stand_at({0: 2})
    assert reader.lost == set()
    assert read(reader, 1) == [(0, 2, b"c")]


def test_an_offset_that_is_not_there_yet_is_lost(log, reader):
    reader.stand_at({0: 7})
    read_until_lost(reader)
    assert reader.lost == {0}


def test_partitions_may_be_added(log, reader):
    log.grow()
    assert reader.partitions() == [0, 1, 2, 3]
    reader.stand_at({3: 0})
    log.write(3, b"new", [])
    assert read(reader, 1) == [(3, 0, b"new")]


def test_a_topic_that_was_created_anew_has_another_id_and_is_read_on_in_silence(log, reader):
    for value in b"a", b"b":
        log.write(0, value, [])
    reader.stand_at({0: 2, 1: 0, 2: 0})
    assert [*reader.read(0.1)] == []
    before = reader.topic_id
    assert before
    log.recreate()
    for value in b"A", b"B", b"C":
        log.write(0, value, [])
    assert read(reader, 1) == [(0, 2, b"C")]
    assert reader.lost == set()
    assert reader.partitions() == [0, 1, 2]
    assert reader.topic_id not in ("", before)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("count", [1, 3, 300])
def test_what_cannot_be_decoded_is_passed_and_reported_once(log, reader, count):
    log.write(0, b"before", [])
    log.write_undecodable(0, count)
    log.write(0, b"behind", [])
    log.write(1, b"other", [])
    reader.stand_at({0: 0, 1: 0})
    assert sorted(read(reader, 3)) == [(0, 0, b"before"), (0, count + 1, b"behind"), (1, 0, b"other")]
    assert reader.next == {0: count + 2, 1: 1}
    assert reader.take_passed() == {0: count + 1}
    assert reader.take_passed() == {}
    assert not reader.refusals


@pytest.mark.timeout(60)
def test_it_is_passed_also_from_its_middle_and_at_the_end_of_the_partition(log, reader):
    log.write_undecodable(0, 3)
    reader.stand_at({0: 1})
    passed = {}
    while not passed:
        assert not [*reader.read(0.1)]
        passed = reader.take_passed()
    assert passed == reader.next == {0: 3}
    log.write(0, b"behind", [])
    assert read(reader, 1) == [(0, 3, b"behind")]
