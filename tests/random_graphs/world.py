"""Some graphs on one store, from their first request to their last result, under workers that are killed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.random_graphs.case import Case, WrongError
from tests.random_graphs.job import FREEZES, KILLS, Job, Kind, Trap
from tests.random_graphs.ledger import Entry, FileLedger, read
from tests.random_graphs.life import read_results
from tests.random_graphs.stores import end_transactions_of_a_frozen_worker, rows
from tests.random_graphs.zygote import FROZEN, Zygote
from workflow_events.results import ResultStatus

_KINDS: Sequence[Kind] = ("before", "inside", "after", "before", "inside", "after", "unheard", "drain")
_FREEZES: Sequence[Kind] = sorted(FREEZES)
_MOST_KILLS = 2  # of a request: a run that is lost three times without a checkpoint ends as worker_lost
_WRITES_PER_PUT = 0.6  # transactions, about, per put of LangGraph's saver: several share one


@dataclass
class Figures:
    """What was done.

    :ivar taken_over: runs that another worker had to take over after a kill.
    :ivar frozen: workers that stood still until others had done their work, and woke up then.
    :ivar unheard: commits whose answer was lost.
    :ivar executions: of nodes and tasks.
    :ivar talks: requests of conversations, behind the first.
    """

    graphs: int = 0
    lives: int = 0
    kills: int = 0
    frozen: int = 0
    drains: int = 0
    unheard: int = 0
    taken_over: int = 0
    questions: int = 0
    answers: int = 0
    retries: int = 0
    talks: int = 0
    executions: int = 0

    def add(self, other: Figures) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class World:
    """See the module.

    :param zygote: runs the lives.
    :param plan: draws the traps, and what the workers' settings are.
    """

    def __init__(self, folder: Path, url: str, zygote: Zygote, cases: Sequence[Case], plan: random.Random) -> None:
        self.cases = cases
        self.figures = Figures(graphs=len(cases))
        self._folder, self._url, self._zygote, self._plan = folder, url, zygote, plan
        self._is_shared = url.startswith("postgresql")  # a worker beside another that stands still may have it open
        self._keep_checkpoints = plan.choice([0, 1, 2, 3])
        self._prunes = plan.random() < 0.5
        self._life = 0
        self._frozen: int | None = None  # the life that stands still
        self.history: list[str] = []

    def run(self, traps: Callable[[int], Sequence[Trap]] | None = None) -> None:
        """Until every case is over.

        :param traps: those of each life, by its number in its turn; else they are drawn.
        :raises WrongError: a request has no result, or several.
        """
        while still := [case for case in self.cases if not case.is_over]:
            self._turn(still, traps)

    def entries(self) -> list[Entry]:
        return read(self._folder / "ledger")

    def _turn(self, cases: Sequence[Case], traps: Callable[[int], Sequence[Trap]] | None) -> None:
        self.figures.answers += sum(bool(case.asked) for case in cases)
        kills = 0
        for number in range(20):
            drawn = self._traps(cases, kills) if traps is None else traps(number)
            # Later, some results are out: who asks again for what was pruned gets no other answer.
            job, status = self._one_life(cases, drawn, is_first=number == 0)
            kills += status < 0
            if status == 0 and self._all_answered(job, cases):
                break
        else:
            raise WrongError(f"no result after {number} lives: {self.history[-3:]}")
        if self._frozen is not None:
            self._thaw(job, self._frozen)
        results = read_results(job)
        for case in cases:
            turns, talk = len(case.turns), case.talk
            case.take(results)
            self.figures.retries += None in case.turns[turns:]
            self.figures.talks += case.talk - talk
            self.figures.questions += len(case.asked)

    def _thaw(self, job: Job, life: int) -> None:
        """Let the worker that stands still wake up: others have done all its work, so it must write nothing.

        A request that it was taking in is answered again, with the same bytes.
        """
        FileLedger(job.ledger, life).add(Entry("", "woke", life=life))
        before = rows(self._url)
        status = self._zygote.thaw()
        self._frozen = None
        self.figures.frozen += 1
        if status:
            log = (self._folder / f"life-{life}.log").read_text()
            raise WrongError(f"the worker of life {life}, which stood still, ends with {status}:\n{log[-6000:]}")
        after = rows(self._url)
        if after != before:
            raise WrongError(f"the worker of life {life} writes after it stood still: {_differences(before, after)}")

    def _traps(self, cases: Sequence[Case], kills: int) -> list[Trap]:
        writes = sum(case.expected.puts / (len(case.expected.turns) + 1) for case in cases) * _WRITES_PER_PUT + 3
        writes = max(3, int(writes / (1 + kills)))
        drawn: list[Trap] = []
        kinds = [*_KINDS, *_FREEZES] if self._is_shared and self._frozen is None else _KINDS
        ends = KILLS | FREEZES
        for _ in range(self._plan.choice([0, 1, 1, 1, 2])):
            kind = self._plan.choice(kinds)
            if kind not in ends or (kills < _MOST_KILLS and not any(trap.kind in ends for trap in drawn)):
                drawn.append(Trap(kind, self._plan.randint(1, writes)))
        return drawn

    def _one_life(self, cases: Sequence[Case], traps: Sequence[Trap], *, is_first: bool) -> tuple[Job, int]:
        job = Job(
            self._folder,
            self._url,
            self._life,
            graphs={case.name: case.part for case in cases},
            requests={case.name: case.event() for case in cases},
            retries={str(case.event().event_id): again for case in cases if (again := case.retry())},
            tries={case.name: case.try_number for case in cases},
            traps=traps,
            renamed={case.name: case.circumstances.renamed_in(self._life) for case in cases},
            keep_checkpoints=self._keep_checkpoints,
            # A worker that wakes up would still prune, and may.
            prunes=self._prunes and is_first and not any(trap.kind in FREEZES for trap in traps),
        )
        status = self._zygote.live(job)
        self._life += 1
        said = " ".join(f"{trap.kind} {trap.nth}" for trap in traps)
        self.history.append(f"life {job.life}: {len(cases)} graphs, traps [{said}], status {status}")
        if status == FROZEN:
            self._frozen = job.life
            end_transactions_of_a_frozen_worker(self._url)
        elif status not in (0, -9):
            raise WrongError(f"a worker ends with {status}:\n{job.log.read_text()[-6000:]}")
        FileLedger(job.ledger, job.life).add(Entry("", "loss", life=job.life))
        self._count(traps, status, job)
        return job, status

    def _count(self, traps: Sequence[Trap], status: int, job: Job) -> None:
        self.figures.lives += 1
        self.figures.kills += status == -9
        self.figures.taken_over += status < 0 and len(job.graphs)
        if status == 0:
            writes = int(job.log.read_text().split()[-2])
            self.figures.drains += any(trap.kind == "drain" and trap.nth <= writes for trap in traps)
            self.figures.unheard += any(trap.kind == "unheard" and trap.nth <= writes for trap in traps)

    @staticmethod
    def _all_answered(job: Job, cases: Sequence[Case]) -> bool:
        results = read_results(job)
        for asked in job.requests.values():
            found = results.get(str(asked.event_id), ())
            again = job.retries.get(str(asked.event_id))
            failed = any(one.status is ResultStatus.FAILURE for one in found)
            if not found or (failed and again is not None and str(again.event_id) not in results):
                return False
        return True


def _differences(before: Sequence[str], after: Sequence[str]) -> str:
    gone, new = set(before) - set(after), set(after) - set(before)
    return "\n".join([*(f"  - {row[:300]}" for row in sorted(gone)), *(f"  + {row[:300]}" for row in sorted(new))])
