"""Small projects of every form answer as the recorded reference does, also where their worker is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reference.cases import PROJECTS, Conversation
from tests.reference.comparison import ALL, assert_same, expected_of, on_each_store
from tests.reference.conftest import StoresOf
from tests.reference.job import KILLED, Job
from tests.reference.zygote import Zygote

pytestmark = pytest.mark.timeout(60)


@on_each_store([one for one in ALL if one.dies_at])
def test_a_killed_worker_changes_no_answer(
    kind: str, conversation: Conversation, zygote: Zygote, stores_of: StoresOf, tmp_path: Path
):
    # It takes longer elsewhere.
    for nth in conversation.dies_at if kind == "sqlite" else conversation.dies_at[:1]:
        folder = tmp_path / str(nth)
        folder.mkdir()
        url = stores_of(kind)(folder)
        job = Job(folder, PROJECTS / conversation.project, url, (conversation,), dies_at=nth)
        assert zygote.live(job) == KILLED, f"it does not come to message {nth}: {job.log.read_text()}"
        job = Job(job.folder, job.project, job.url, job.conversations, life=1)
        assert zygote.live(job) == 0, job.log.read_text()
        (found,) = job.read().values()
        # What was streamed before the kill is not streamed again, and may be lost.
        assert_same(found, expected_of(conversation), without=frozenset({"custom"}))
