"""How far an undecodable place reaches: no record that can be read is passed, and few offsets are looked at."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_events.undecodable import UNDECODABLE, UndecodablePasser, UndecodablePlace, end_of_undecodable


class Partition:
    """Batches one after the other, as a reader meets them: at an offset between two batches it gets the later one.

    :param batches: of each, how many offsets it has, whether it can be decoded, and how many are missing before it.
    """

    def __init__(self, *batches: tuple[int, bool, int], first: int = 0) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.good: list[bool] = []
        self.high = first
        self.looks = 0
        for size, good, gap in batches:
            self.starts.append(self.high + gap)
            self.high += gap + size
            self.ends.append(self.high)
            self.good.append(good)

    def look(self, offset: int) -> int | None:
        self.looks += 1
        assert 0 <= offset < self.high, "a reader would be reset"
        number = bisect_right(self.ends, offset)
        return None if self.good[number] else self.starts[number]

    def expected(self, first: int) -> int:
        """The end by a walk through all batches."""
        for start, end, good in zip(self.starts, self.ends, self.good, strict=True):
            if end > first and good:
                return first
            if end > first:
                first = max(end, start)
        return self.high


_BATCHES = st.lists(st.tuples(st.integers(1, 3_000), st.booleans(), st.sampled_from([0, 0, 0, 1, 7])), min_size=1)


def test_a_record_between_two_undecodable_batches_is_not_passed():
    partition = Partition((2, False, 0), (1, True, 0), (4, False, 0))
    assert end_of_undecodable(0, partition.high, partition.look) == 2


@given(_BATCHES, st.integers(0, 10**12), st.data())
def test_it_ends_where_the_next_record_can_be_read(batches, begin, data):
    partition = Partition(*batches, first=begin)
    first = data.draw(st.integers(begin, partition.high - 1))
    assert end_of_undecodable(first, partition.high, partition.look, now=lambda: 0.0) == partition.expected(first)


@pytest.mark.parametrize("behind", [0, 1, 10**9])
@pytest.mark.parametrize(("size", "looks"), [(1, 10), (2, 12), (5_000, 40), (100_000, 50)])
def test_a_large_batch_takes_few_looks(size, looks, behind):
    partition = Partition((size, False, 0), *([(behind, True, 0)] if behind else []))
    assert end_of_undecodable(0, partition.high, partition.look) == size
    assert partition.looks <= looks


def test_a_batch_that_can_be_read_the_third_time_is_not_passed():
    answers = iter([0, 0, None])
    assert end_of_undecodable(0, 10, lambda offset: next(answers)) == 0


def test_a_long_row_of_them_is_passed_in_parts():
    partition = Partition(*[(1, False, 0)] * 1_000)
    clock = count()
    first = end_of_undecodable(0, partition.high, partition.look, now=lambda: float(next(clock)))
    assert 0 < first < 10
    assert end_of_undecodable(first, partition.high, partition.look, now=lambda: 0.0) == 1_000


def test_what_was_found_before_the_broker_went_away_stays_found():
    partition = Partition(*[(4, False, 0)] * 2)
    end_of_undecodable(0, 4, partition.look)
    answered = partition.looks + 1  # the first batch, and its end

    def look(offset: int) -> int | None:
        if partition.looks > 2 * answered:
            raise TimeoutError
        return partition.look(offset)

    assert end_of_undecodable(0, partition.high, look) == 4


def test_a_broker_that_is_away_is_no_answer():
    def look(offset: int) -> int | None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        end_of_undecodable(0, 8, look)


def test_the_text_names_the_place_and_the_remedy():
    text = str(UndecodablePlace("risk.workflow-events", 3, 17, 21))
    assert "risk.workflow-events[3]: offsets 17 to 21 cannot be decoded" in text
    assert "compression.type=uncompressed" in text


@dataclass
class Report:
    """A message that stands for a record, or for an error of the client."""

    at: int
    named: str | None = UNDECODABLE
    number: int = 0

    def error(self):
        return self if self.named else None

    def name(self):
        return self.named

    def partition(self):
        return self.number

    def offset(self):
        return self.at


class Consumer:
    """A client of one partition that begins with one undecodable batch; it is the reader, and the one that searches."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.at = 0
        self.sought: list[tuple[int, int]] = []
        self.is_away = False

    def seek(self, place):
        if self.is_away:
            raise ConnectionError
        self.sought.append(place)

    def assign(self, places):
        [(_, self.at)] = places

    def poll(self, timeout):
        return Report(0) if self.at < self.size else Report(self.at, named=None)

    def get_watermark_offsets(self, place, timeout, cached=False):
        return 0, self.size + 1

    def close(self):
        pass


@pytest.fixture
def consumer():
    return Consumer(size=3)


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def passer(consumer, clock):
    return UndecodablePasser(
        "t", "c", lambda *place: place, lambda: consumer, client_error=ConnectionError, now=lambda: clock[0]
    )


def test_a_place_is_passed_once_however_often_it_was_fetched(passer, consumer):
    report = Report(0)
    assert not passer.has_passed(report)
    assert passer.go_past(consumer, report) == UndecodablePlace("t", 0, 0, 2, "c")
    assert consumer.sought == [(0, 3)]
    assert passer.has_passed(report)
    assert not passer.has_passed(Report(3)), "it lies behind"
    assert not passer.has_passed(Report(0, number=1)), "of another partition"
    assert not passer.has_passed(Report(0, named="_TRANSPORT"))


def test_a_place_is_met_again_where_a_reader_was_set_back(passer, consumer):
    passer.go_past(consumer, Report(0))
    passer.forget([1])
    assert passer.has_passed(Report(0))
    passer.forget([0])
    assert not passer.has_passed(Report(0))


def test_a_place_that_is_still_reported_much_later_is_a_new_one(passer, consumer, clock):
    passer.go_past(consumer, Report(0))
    clock[0] = 60.0
    assert not passer.has_passed(Report(0))


def test_a_place_that_its_reader_could_not_leave_is_not_passed(passer, consumer):
    consumer.is_away = True
    assert passer.go_past(consumer, Report(0)) is None
    assert not passer.has_passed(Report(0))


@pytest.mark.parametrize("report", [Report(0, named=None), Report(0, named="_PARTITION_EOF")])
def test_other_messages_report_no_place(passer, consumer, report):
    assert passer.go_past(consumer, report) is None
    assert consumer.sought == []
