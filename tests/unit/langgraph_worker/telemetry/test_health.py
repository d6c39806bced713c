"""When a worker is said to be alive, healthy and ready."""

from __future__ import annotations

from langgraph_worker.telemetry.health import SILENT_SECONDS, STALE_SECONDS, Health

HANG = 120.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def well() -> tuple[Health, Clock]:
    clock = Clock()
    health = Health(HANG, clock)
    health.enter("ready")
    health.answered("broker")
    health.answered("store")
    return health, clock


def test_a_worker_that_works_is_all_three() -> None:
    health, _ = well()
    assert health.alive().is_good
    assert health.healthy().is_good
    assert health.ready().is_good


def test_a_worker_that_starts_is_alive_and_neither_ready_nor_healthy() -> None:
    health = Health(HANG, Clock())
    for phase in ("starting", "joining"):
        health.enter(phase)
        assert health.alive().is_good
        assert not health.ready().is_good
        assert not health.healthy().is_good
    assert health.healthy().body["phase"] == "joining"


def test_a_worker_that_stops_is_not_ready_and_stays_so() -> None:
    health, _ = well()
    health.enter("draining")
    health.enter("ready")
    assert not health.ready().is_good
    assert health.healthy().is_good


def test_a_silent_loop_is_said_at_once_and_is_no_reason_to_end_the_process_yet() -> None:
    health, clock = well()
    clock.now += SILENT_SECONDS
    assert not health.healthy().is_good
    assert not health.ready().is_good
    assert health.healthy().body["loop"] == {"alive": False, "silent_seconds": SILENT_SECONDS}
    assert health.alive().is_good
    clock.now += HANG
    assert not health.alive().is_good
    health.beat()
    assert health.alive().is_good


def test_a_part_that_is_away_is_named_with_its_trouble_and_ends_no_process() -> None:
    health, clock = well()
    clock.now += 2
    health.beat()
    health.failed("store", "connection refused")
    verdict = health.healthy()
    assert not verdict.is_good
    away = {"reachable": False, "answered_seconds_ago": 2, "trouble": "connection refused", "since_seconds": 0}
    assert verdict.body["store"] == away
    assert verdict.body["broker"] == {"reachable": True, "answered_seconds_ago": 2}
    assert health.alive().is_good
    assert health.ready().is_good  # it runs what it has, and takes work when the part is back
    health.answered("store")
    assert health.healthy().is_good


def test_the_first_trouble_stays_beside_what_follows_from_it() -> None:
    health, clock = well()
    health.failed("store", "terminating connection due to administrator command")
    clock.now += 5
    health.failed("store", "connection refused")
    clock.now += 5
    health.failed("store", "connection refused")
    health.beat()
    assert health.healthy().body["store"] == {
        "reachable": False,
        "answered_seconds_ago": 10,
        "trouble": "connection refused",
        "since_seconds": 10,
        "first_trouble": "terminating connection due to administrator command",
    }
    health.answered("store")
    health.failed("store", "connection refused")
    assert health.healthy().body["store"]["since_seconds"] == 0
    assert "first_trouble" not in health.healthy().body["store"]


def test_a_part_whose_answer_never_comes_is_not_reachable() -> None:
    health, clock = well()
    for _ in range(int(STALE_SECONDS)):
        clock.now += 1
        health.beat()
    assert not health.is_reachable("broker")
    assert not health.healthy().is_good
