from __future__ import annotations

from workflow_events.backoff import Backoff


def test_pauses_double_up_to_the_longest():
    backoff = Backoff(first_seconds=0.5, longest_seconds=3.0)
    assert [backoff.next_seconds() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_after_a_success_they_begin_anew():
    backoff = Backoff(first_seconds=0.5, longest_seconds=3.0)
    backoff.next_seconds()
    backoff.next_seconds()
    backoff.reset()
    assert backoff.next_seconds() == 0.5
