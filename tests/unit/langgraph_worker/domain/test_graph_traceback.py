"""Where a graph raised, in few lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from langgraph_worker.domain.graph_traceback import MAX_BYTES, MAX_LINES, graph_traceback

SECRET = "Ada Lovelace, born 1815"
HERE = "tests/unit/langgraph_worker/domain/test_graph_traceback.py"


def shown(raise_it: Callable[[], Any], *, with_text: bool = True, fallback: bool = True) -> str | None:
    try:
        raise_it()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return graph_traceback(error, with_text=with_text, fallback=fallback)
    raise AssertionError("nothing was raised")


def leaves_out(state: dict[str, str]) -> str:
    return state["text"]


def wraps() -> None:
    try:
        leaves_out({})
    except KeyError as error:
        raise RuntimeError(f"no text of {SECRET}") from error


def test_it_is_the_files_lines_and_functions_and_what_was_raised() -> None:
    trace = shown(lambda: leaves_out({}))
    assert trace is not None
    lines = trace.splitlines()
    assert lines[0].startswith("Traceback (most recent call last")
    assert f'File "{HERE}"' in lines[-3]
    assert lines[-3].endswith(", in leaves_out")
    assert lines[-2:] == ['    return state["text"]', "KeyError: 'text'"]


def test_a_cause_follows_what_it_caused() -> None:
    trace = shown(wraps)
    assert trace is not None
    error, cause = trace.split("\ncaused by:\n")
    assert error.splitlines()[-1] == f"RuntimeError: no text of {SECRET}"
    assert cause.splitlines()[-1] == "KeyError: 'text'"
    assert "in leaves_out" in cause


def test_an_exception_raised_while_handling_another_names_it() -> None:
    def handles() -> None:
        try:
            leaves_out({})
        except KeyError:
            raise RuntimeError("no")  # noqa: B904 - that is the case

    assert "\nraised while handling:\n" in (shown(handles) or "")


def test_notes_are_shown_but_for_langgraphs_own() -> None:
    def noted() -> None:
        error = ValueError("no")
        error.add_note("row 5 of the table")
        error.add_note("During task with name 'a' and id '5'")
        raise error

    assert (shown(noted) or "").splitlines()[-2:] == ["ValueError: no", "    note: row 5 of the table"]


def test_a_worker_that_keeps_texts_to_itself_shows_types_and_frames_alone() -> None:
    def noted() -> None:
        try:
            wraps()
        except RuntimeError as error:
            error.add_note(SECRET)
            raise

    trace = shown(noted, with_text=False)
    assert trace is not None
    assert "in leaves_out" in trace
    assert 'state["text"]' not in trace  # a line of code, which a model may have written
    assert SECRET not in trace
    assert "'text'\n" not in trace
    assert [line for line in trace.splitlines() if not line.startswith(" ")][1:] == [
        "RuntimeError",
        "caused by:",
        "KeyError",
    ]


def test_code_that_was_made_while_it_ran_is_left_out_without_texts() -> None:
    made = {}
    exec(compile("def about_ada():\n    raise ValueError('no')", "<made>", "exec"), made)
    assert "about_ada" in (shown(made["about_ada"]) or "")
    assert "about_ada" not in (shown(made["about_ada"], with_text=False) or "")


def test_a_library_is_one_line_behind_the_projects_frames() -> None:
    trace = shown(lambda: json.loads("{"))
    assert trace is not None
    assert "json/decoder.py" in trace.splitlines()[-2]
    assert trace.splitlines()[-2].startswith("  raised in ")
    assert trace.count("json/") == 1


def test_an_exception_without_frames_of_the_project_shows_those_of_the_library() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        assert "json/__init__.py" in (graph_traceback(error, with_text=True) or "")
        assert graph_traceback(error, with_text=True, fallback=False) is None
        assert graph_traceback(ValueError("never raised"), with_text=True) is None


def test_values_of_an_input_are_no_part_of_it() -> None:
    class Person(BaseModel):
        born: int

    trace = shown(lambda: Person(born=SECRET))  # type: ignore[arg-type]
    assert trace is not None
    assert "born" in trace
    assert SECRET not in trace


def test_each_member_of_a_group_is_shown() -> None:
    def raise_group() -> None:
        found: list[Exception] = []
        for call in (wraps, lambda: leaves_out({})):
            try:
                call()
            except Exception as error:  # noqa: BLE001 - to be grouped
                found.append(error)
        raise ExceptionGroup("tools", [found[0], ExceptionGroup("inner", found[1:])])

    trace = shown(raise_group)
    assert trace is not None
    labels = [line for line in trace.splitlines() if line.endswith(":") and not line.startswith((" ", "Trace"))]
    assert labels == ["1 of 2 in the group:", "caused by:", "2 of 2 in the group:"]


CONTROLS = ["\x1b[31m", "\r", "\x00", "\x9b", "\u2028", "\x85", "\ud800", "\t"]


@pytest.mark.parametrize("control", CONTROLS)
def test_no_line_steers_a_terminal(control: str) -> None:
    def evil() -> None:
        error = ValueError(f"it{control}evil")
        error.add_note(f"it{control}evil")
        raise error

    trace = shown(evil)
    assert trace is not None
    assert all(line.isprintable() for line in trace.split("\n"))


def recurses(times: int) -> None:
    if times:
        recurses(times - 1)
    raise ValueError("x" * 100_000)


def chained(times: int) -> None:
    try:
        if times:
            chained(times - 1)
    except ValueError as error:
        raise ValueError("é\n" * 1_000) from error
    raise ValueError("the first")


def grouped(times: int) -> None:
    raise ExceptionGroup("many", [ValueError("é" * 1_000) for _ in range(times)])


@pytest.mark.parametrize(("raise_it", "times"), [(recurses, 800), (chained, 100), (grouped, 5_000)])
def test_it_is_bounded_and_says_what_is_missing(raise_it: Callable[[int], None], times: int) -> None:
    trace = shown(lambda: raise_it(times))
    assert trace is not None
    assert len(trace.splitlines()) <= MAX_LINES + 1
    assert len(trace.encode()) <= MAX_BYTES + 100
    assert " more " in trace


def test_a_ring_of_causes_ends() -> None:
    def ring() -> None:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        raise first

    assert (shown(ring) or "").count("ValueError: ") == 2


def test_an_exception_that_cannot_say_what_it_is_is_shown_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    def mute() -> None:
        raise Mute

    assert "Mute: Mute, which has no text" in (shown(mute) or "")
