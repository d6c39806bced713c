"""Draws graphs, runs them alone and under kills, and compares; a fault is made small before it is reported."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.random_graphs.case import Case, WrongError
from tests.random_graphs.circumstances import Circumstances, draw_circumstances
from tests.random_graphs.description import Flow, Graph, show
from tests.random_graphs.generator import Generator
from tests.random_graphs.job import Kind, Trap
from tests.random_graphs.judge import faults
from tests.random_graphs.shrinking import shrink
from tests.random_graphs.stock import UnfitGraphError, run_alone
from tests.random_graphs.stores import Stores
from tests.random_graphs.world import Figures, World
from tests.random_graphs.zygote import Zygote

_MOST_TOGETHER = 12  # graphs in one world


@dataclass
class Campaign:
    """Worlds, one after the other, on stores of one kind.

    :param store: gives the URL of an empty store in a folder, and removes it after the block.
    """

    folder: Path
    store: Stores
    seed: int
    figures: Figures = field(default_factory=Figures)
    seconds: float = 0.0

    def run(self, first: int, count: int) -> None:
        """Run the graphs of these numbers.

        :raises WrongError: see there.
        """
        began = time.monotonic()
        end = first + count
        with Zygote() as zygote:
            while first < end:
                together = min(random.Random(f"{self.seed}/{first}/together").randint(1, _MOST_TOGETHER), end - first)
                self._world(zygote, range(first, first + together))
                first += together
        self.seconds += time.monotonic() - began

    def summary(self) -> str:
        """The figures in one line."""
        done = self.figures
        minutes = max(self.seconds, 0.001) / 60
        per_minute = " ".join(f"{name} {getattr(done, name) / minutes:.0f}" for name in ("graphs", "kills", "answers"))
        listed = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in vars(done).items())
        return f"{listed} in {self.seconds:.0f} s; per minute: {per_minute}"

    def _world(self, zygote: Zygote, numbers: range) -> None:
        parts = [Generator(self.seed, number).draw() for number in numbers]
        cases = [
            case_of(number, part, draw_circumstances(part, self.seed, number))
            for number, part in zip(numbers, parts, strict=True)
        ]
        with scratch(self.folder) as folder:
            plan = random.Random(f"{self.seed}/{numbers.start}/traps")
            world = World(folder, self.store(folder), zygote, cases, plan)
            try:
                world.run()
                wrong = [f"{case.name}: {fault}" for case in cases for fault in faults(case, world.entries())]
            except WrongError as error:
                wrong = [str(error)]
            if wrong:
                raise WrongError(self._report(world, wrong, numbers), _guilty(world, wrong))
            world.figures.executions = sum(entry.kind == "start" for entry in world.entries())
        self.figures.add(world.figures)

    def _report(self, world: World, wrong: Sequence[str], numbers: range) -> str:
        guilty = _guilty(world, wrong)
        again = f"python -m tests.random_graphs --seed {self.seed} --first {numbers.start} --graphs {len(numbers)}"
        return "\n".join(
            [
                *wrong,
                "",
                *world.history,
                "",
                f"{guilty.name} = {show(guilty.part)}",
                f"{show(guilty.circumstances)}",
                "",
                f"To see it again: {again}",
            ]
        )


def _guilty(world: World, wrong: Sequence[str]) -> Case:
    return next((case for case in world.cases if any(f"{case.name}:" in text for text in wrong)), world.cases[0])


class Shrinker:
    """Makes one graph smaller while it breaks a promise at some transaction.

    :param store: see :class:`Campaign`.
    """

    def __init__(self, folder: Path, store: Stores, seconds: float) -> None:
        self._folder, self._store = folder, store
        self._until = time.monotonic() + seconds
        self._circumstances = Circumstances()
        self._kinds: Sequence[Kind] = ("before", "after", "unheard", "drain")

    def smallest(self, case: Case) -> str:
        """The smallest graph that was found, and what is wrong with it; a text for people."""
        part, self._circumstances = case.part, case.circumstances
        with Zygote() as zygote:
            first = self._wrong(zygote, part)
            if first is None:
                return "one kill at a time, at any transaction, does not show it"
            self._kinds = [first[0].kind]
            shrunk = shrink(part, lambda smaller: self._wrong(zygote, smaller) is not None, tries=200)
            trap, text = self._wrong(zygote, shrunk) or first
        return f"{trap.kind} {trap.nth} in each turn: {text}\n\n{show(shrunk)}"

    def _wrong(self, zygote: Zygote, part: Graph | Flow) -> tuple[Trap, str] | None:
        try:
            expected = asyncio.run(run_alone(part, self._circumstances.talks))
        except Exception:  # noqa: BLE001 - what LangGraph cannot run is no smaller form of the fault
            return None
        for kind in self._kinds:
            for nth in range(1, 2 * expected.puts // (len(expected.turns) + 1) + 8):
                if time.monotonic() > self._until:
                    return None
                text = self._under(zygote, Case("graph-0", part, expected, self._circumstances), Trap(kind, nth))
                if text:
                    return Trap(kind, nth), text
        return None

    def _under(self, zygote: Zygote, case: Case, trap: Trap) -> str:
        with scratch(self._folder) as folder:
            world = World(folder, self._store(folder), zygote, [case], random.Random(0))
            try:
                world.run(lambda number: [] if number else [trap])
                return "\n".join(faults(case, world.entries()))
            except WrongError as error:
                return str(error)


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """An empty folder, until the block ends."""
    folder = parent / "world"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


def case_of(number: int, part: Graph | Flow, circumstances: Circumstances) -> Case:
    """A graph of the generator's, with how it runs alone."""
    talks = circumstances.talks
    try:
        expected = asyncio.run(run_alone(part, talks))
        return Case(f"graph-{number}", part, expected, circumstances)
    except UnfitGraphError as error:
        raise WrongError(f"graph {number} is not fit: {error}\n{show(part)}") from error
