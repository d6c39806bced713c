"""LangChain's human-in-the-loop middleware: a tool call waits for a person, also where its worker is killed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reference.cases import Conversation
from tests.reference.job import KILLED, Job
from tests.reference.zygote import Zygote

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        importlib.util.find_spec("langchain") is None,
        reason="langchain is not installed in this environment: make it again from locks/dev.txt",
    ),
]
PROJECT = Path(__file__).resolve().parent / "project"
APPROVE = {"type": "approve"}
EDIT = {"type": "edit", "edited_action": {"name": "send", "args": {"to": "eve", "text": "goodbye"}}}
REJECT = {"type": "reject", "message": "not today"}


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as process:
        yield process


def turn(text: str) -> dict[str, Any]:
    return {"graph": "mailer", "input": {"messages": [{"role": "user", "content": text}]}}


def conversation(text: str, *decisions: dict[str, Any]) -> Conversation:
    return Conversation("approvals", "mails", [turn(text), {"graph": "mailer", "answers": [{"decisions": decisions}]}])


def job(folder: Path, conversation: Conversation, **more: Any) -> Job:
    return Job(folder, PROJECT, f"sqlite:///{folder / 'store.db'}", (conversation,), **more)


def play(zygote: Zygote, one: Job) -> list[dict[str, Any]]:
    assert zygote.live(one) == 0, one.log.read_text()
    (found,) = one.read().values()
    return found


def said(outcome: dict[str, Any]) -> str:
    """What the agent said at the end."""
    assert outcome["status"] == "success", outcome
    text: str = outcome["output"]["messages"][-1]["content"]
    return text


def test_the_question_has_the_calls_and_what_may_be_decided(zygote: Zygote, tmp_path: Path):
    asked, _ = play(zygote, job(tmp_path, conversation("ann bob", APPROVE, APPROVE)))
    assert asked["status"] == "interrupted"
    (question,) = asked["questions"]
    calls = [{"name": "send", "args": {"to": name, "text": "hello"}} for name in ("ann", "bob")]
    assert [{key: one[key] for key in ("name", "args")} for one in question["action_requests"]] == calls
    allowed = {"action_name": "send", "allowed_decisions": ["approve", "edit", "reject"]}
    assert [{key: one[key] for key in allowed} for one in question["review_configs"]] == [allowed, allowed]


@pytest.mark.parametrize(
    ("decision", "expected"),
    [(APPROVE, "sent hello to bob"), (EDIT, "sent goodbye to eve"), (REJECT, "not today")],
    ids=["approve", "edit", "reject"],
)
def test_a_decision_holds_for_its_own_call(zygote: Zygote, tmp_path: Path, decision: dict[str, Any], expected: str):
    _, done = play(zygote, job(tmp_path, conversation("ann bob", APPROVE, decision)))
    assert "sent hello to ann" in said(done)
    assert expected in said(done)
    assert ("sent hello to bob" in said(done)) == (decision is APPROVE)


@pytest.mark.parametrize("nth", [2, 4, 5, 6, 8, 10])
def test_a_killed_worker_asks_once_and_keeps_the_decision(zygote: Zygote, tmp_path: Path, nth: int):
    mails = conversation("ann", EDIT)
    first = job(tmp_path, mails, dies_at=nth)
    assert zygote.live(first) == KILLED, f"it does not come to message {nth}: {first.log.read_text()}"
    asked, done = play(zygote, job(tmp_path, mails, life=1))
    assert len(asked["questions"]) == 1
    assert "sent goodbye to eve" in said(done)
    assert [one["type"] for one in done["output"]["messages"]] == ["human", "ai", "tool", "ai"]


def test_a_decision_of_another_form_is_a_failure_that_names_the_middleware(zygote: Zygote, tmp_path: Path):
    wrong = Conversation("approvals", "mails", [turn("ann"), {"graph": "mailer", "answers": ["yes"]}])
    _, failed = play(zygote, job(tmp_path, wrong))
    assert (failed["status"], failed["error"]["type"]) == ("error", "TypeError")


def test_a_conversation_asks_at_each_turn(zygote: Zygote, tmp_path: Path):
    decided = {"graph": "mailer", "answers": [{"decisions": [APPROVE]}]}
    talk = Conversation("approvals", "talk", [turn("ann"), decided, turn("bob"), decided])
    one, two, three, four = play(zygote, job(tmp_path, talk))
    assert [one["status"], three["status"]] == ["interrupted", "interrupted"]
    assert [said(two), said(four)] == ["sent hello to ann", "sent hello to bob"]
