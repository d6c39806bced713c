"""The catalogue of mutants keeps up with the code that it breaks. Whether the suite catches each: ``make mutants``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from devtools.mutants import CATALOGUE, ROOT, MutantError, Outcome, apply, catalogue, read_mutant

MUTANTS = catalogue()
RULES = [
    "Identity",
    "Contract",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    "10",
    "11",
    "12",
    "13",
    "14",
    "15",
    "16",
    "17",
    "19",
    "20",
    "21",
    "22",
    "23",
    "24",
    "25",
]
"""The sections of docs/explanation/rules.md that have mutants."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_applies_and_its_tests_are_still_there(mutant):
    apply(mutant, ROOT, only_check=True)
    assert mutant.files
    for test in mutant.tests:
        file, *names = test.partition("[")[0].split("::")
        tree = ast.parse((ROOT / file).read_text())
        assert names[-1] in {
            node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }


def test_every_rule_has_a_mutant_and_no_two_have_one_number():
    assert {mutant.rule for mutant in MUTANTS} == set(RULES)
    numbers = [mutant.name.partition("-")[0] for mutant in MUTANTS]
    assert len(set(numbers)) == len(numbers) == len(list(CATALOGUE.iterdir()))


def test_every_rule_has_its_section_and_its_table_of_mutants():
    page = (ROOT / "docs" / "explanation" / "rules.md").read_text()
    headings = re.findall(r"^## (?:Rule )?(\w+)", page, re.MULTILINE)
    assert headings == RULES
    assert re.findall(r"^\.\. mutants:: (\w+)$", page, re.MULTILINE) == RULES


def test_mutants_are_found_by_how_their_names_begin():
    first = MUTANTS[0]
    assert catalogue([first.name[:3]]) == [first]
    with pytest.raises(MutantError, match="no mutant is called zzz"):
        catalogue(["zzz"])


def test_a_header_that_lacks_something_is_named(tmp_path):
    patch = tmp_path / "1-x.patch"
    patch.write_text("Rule: 1\nBreaks: it\n\ndiff --git a/x b/x\n")
    with pytest.raises(MutantError, match=r"1-x\.patch.*'Caught by: \.\.\.'"):
        read_mutant(patch)


def test_a_patch_that_does_not_apply_is_named(tmp_path: Path):
    with pytest.raises(MutantError, match=f"{MUTANTS[0].name} does not apply"):
        apply(MUTANTS[0], tmp_path, only_check=True)


@pytest.mark.parametrize(
    ("exit_code", "output", "failed"),
    [
        (
            1,
            "FAILED tests/a.py::b[sqlite-taken over] - AssertionError: x\n1 failed",
            ["tests/a.py::b[sqlite-taken over]"],
        ),
        (1, "FAILED tests/a.py::b\n", ["tests/a.py::b"]),
        (1, "ERROR tests/a.py::b - RuntimeError: in a fixture\n1 error", []),
        (2, "ERROR tests/a.py - SyntaxError\n1 error", []),
        (4, "ERROR: not found: tests/a.py::b\n", []),
        (None, "no end within 120 s", []),
        (0, "1 passed", []),
    ],
)
def test_only_a_test_that_failed_catches(exit_code, output, failed):
    assert Outcome(exit_code, output).failed == failed
