"""Break each rule of the design on purpose, with a small patch each, and check that a test fails: ``make mutants``.

``python -m devtools.mutants [name ...]`` works in a copy of the repository, so the tree stays as it is. The header of
each patch of ``tests/mutants`` says which rule it breaks, and which tests must fail. The beginning of a name is enough:
``07``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

from devtools.errors import DevtoolsError

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "tests" / "mutants"

_MUTANT_SECONDS = 120.0
_UNHARMED_SECONDS = 600.0
_FIELD = re.compile(r"^(Rule|Breaks|Caught by): (.+)$", re.MULTILINE)
_CHANGED = re.compile(r"^\+\+\+ b/(.+)$", re.MULTILINE)
_FAILED = re.compile(r"^FAILED (.+?)(?: - |$)", re.MULTILINE)
# The package is installed from the repository: a test that imports it from there does not test the copy.
_IMPORTED = """\
from pathlib import Path

import airflow_provider_langgraph
import langgraph_worker
import workflow_events


def test_the_copy_is_what_is_imported():
    for package in (airflow_provider_langgraph, langgraph_worker, workflow_events):
        assert Path(package.__file__).resolve().is_relative_to(Path(__file__).resolve().parent)
"""


class MutantError(DevtoolsError):
    """A mutant proves nothing: its patch does not apply, or names tests that do not run or fail without it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A patch that breaks a rule.

    :param rule: of docs/explanation/rules.md: "Identity", "Contract", or a number.
    :param breaks: what is wrong with it.
    :param tests: pytest's ids of the tests that must notice; one that fails is enough.
    :param files: what it changes.
    """

    path: Path
    rule: str
    breaks: str
    tests: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the patch, without its suffix."""
        return self.path.stem


def read_mutant(path: Path) -> Mutant:
    """Read a patch with its header.

    :raises MutantError: the header is not complete.
    """
    header, _, diff = path.read_text().partition("diff --git ")
    fields = _FIELD.findall(header)
    found = {name: value.strip() for name, value in fields}
    missing = [name for name in ("Rule", "Breaks", "Caught by") if name not in found]
    if missing:
        raise MutantError(f"{path.name}: its header has no line '{missing[0]}: ...'")
    tests = tuple(value.strip() for name, value in fields if name == "Caught by")
    return Mutant(path, found["Rule"], found["Breaks"], tests, tuple(_CHANGED.findall(diff)))


def catalogue(names: Sequence[str] = ()) -> list[Mutant]:
    """The mutants whose names begin with one of these, or all.

    :raises MutantError: no mutant has such a name.
    """
    mutants = [read_mutant(path) for path in sorted(CATALOGUE.glob("*.patch"))]
    for name in names:
        if not any(mutant.name.startswith(name) for mutant in mutants):
            raise MutantError(f"no mutant is called {name}; they are {', '.join(mutant.name for mutant in mutants)}")
    return [mutant for mutant in mutants if not names or mutant.name.startswith(tuple(names))]


def apply(mutant: Mutant, tree: Path, *, only_check: bool = False) -> None:
    """Apply a patch to a tree, or only check that it applies.

    :raises MutantError: it does not apply.
    """
    # In a folder of another repository, git would relate the paths to that one and skip them silently.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_CEILING_DIRECTORIES"] = str(tree.parent)
    command = ["git", "apply", *(["--check"] if only_check else []), str(mutant.path)]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MutantError(f"{mutant.name} does not apply: {done.stderr.strip()}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How pytest ended.

    :param exit_code: None if it did not end in time.
    """

    exit_code: int | None
    output: str

    @property
    def failed(self) -> list[str]:
        """Ids of the tests that failed. Errors in fixtures, or while tests are collected, do not count."""
        return _FAILED.findall(self.output) if self.exit_code == 1 else []


class Copy:
    """A copy of the repository's files, also of those that are not committed yet."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():  # else it was deleted
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)

    def pytest(self, tests: Sequence[str], *options: str, limit: float) -> Outcome:
        """Run tests, with this process's interpreter."""
        quietly = ["-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:langsmith_plugin"]
        command = [sys.executable, "-m", "pytest", *quietly, *options, *tests]
        try:
            done = subprocess.run(
                command,
                cwd=self.tree,
                env=self._environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Outcome(None, f"no end within {limit:g} s")
        return Outcome(done.returncode, done.stdout)

    def _environment(self) -> Mapping[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON"))}
        # As in CI, state machines draw the same examples each time, so the outcome is the same each time.
        return inherited | {"PYTHONPATH": str(self.tree), "CI": "true"}

    @contextmanager
    def broken_by(self, mutant: Mutant) -> Iterator[None]:
        """The copy, with this patch applied.

        :raises MutantError: it does not apply.
        """
        paths = [self.tree / name for name in mutant.files]
        before = {path: path.read_bytes() for path in paths if path.exists()}
        apply(mutant, self.tree)
        if not before or any(path.read_bytes() == content for path, content in before.items()):
            raise MutantError(f"{mutant.name} changes nothing")
        self._forget_bytecode(paths)
        try:
            yield
        finally:
            for path, content in before.items():
                path.write_bytes(content)
            self._forget_bytecode(paths)

    @staticmethod
    def _forget_bytecode(paths: Sequence[Path]) -> None:
        # Python compares the size and the second of a file. A file that is changed back can have the same of both.
        for path in paths:
            Path(cache_from_source(str(path))).unlink(missing_ok=True)

    def see_unharmed(self, mutants: Sequence[Mutant]) -> None:
        """Check that every named test passes before anything is broken.

        :raises MutantError: a test fails, or does not exist, or does not test the copy.
        """
        (self.tree / "test_copy.py").write_text(_IMPORTED)
        tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        outcome = self.pytest(["test_copy.py", *tests], limit=_UNHARMED_SECONDS)
        if outcome.exit_code != 0 or " skipped" in outcome.output:
            raise MutantError(f"without any mutant the named tests must pass, and none be skipped:\n{outcome.output}")

    def judge(self, mutant: Mutant) -> str | None:
        """The test that catches a mutant; None if all pass.

        :raises MutantError: it does not apply, or pytest ended for another reason than a failed test.
        """
        with self.broken_by(mutant):
            outcome = self.pytest(mutant.tests, "-x", limit=_MUTANT_SECONDS)
        if outcome.exit_code == 0:
            return None
        if not outcome.failed:
            last = "\n".join(outcome.output.splitlines()[-15:])
            raise MutantError(f"{mutant.name}: no test failed, but pytest did:\n{last}")
        return outcome.failed[0]


def run(mutants: Sequence[Mutant]) -> int:
    """Judge mutants one after the other, and print a line for each. Returns the number that was caught.

    :raises MutantError: the named tests do not pass without them.
    """
    caught = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Copy(Path(folder).resolve())
        copy.see_unharmed(mutants)
        print("without a mutant every named test passes", flush=True)
        for mutant in mutants:
            began = time.monotonic()
            try:
                test = copy.judge(mutant)
            except MutantError as error:
                print(f"ERROR     {error}", flush=True)
                continue
            seconds = f"{time.monotonic() - began:.1f} s"
            if test is None:
                print(f"SURVIVED  {mutant.name} ({seconds}): {mutant.breaks}", flush=True)
                continue
            caught += 1
            print(f"caught    {mutant.name} ({seconds}) by {test}", flush=True)
    return caught


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 only if every mutant was caught."""
    parser = argparse.ArgumentParser(prog="python -m devtools.mutants", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="name", help="the name of a patch, or its beginning; without a name: all"
    )
    try:
        mutants = catalogue(parser.parse_args(arguments).names)
        caught = run(mutants)
    except MutantError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(mutants)} mutants, {caught} caught")
    return 0 if caught == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
