"""The texts that a package writes to logs as warnings and errors, read from its code; and the remedy of each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AIRFLOW_SIDE = ROOT / "airflow_provider_langgraph"

_LEVELS = frozenset({"warning", "error", "exception", "critical"})
_PLACEHOLDER = re.compile(r"%(\(\w+\))?[-#0-9.]*[sdrfg]")


@dataclass(frozen=True, slots=True)
class LogText:
    """A text of a log as a person sees it, with an ellipsis for each value.

    :param file: where it stands in the code.
    """

    file: Path
    text: str


def log_texts(package: Path) -> list[LogText]:
    """Every warning and error of a package that has words of its own."""
    found = []
    for file in sorted(package.rglob("*.py")):
        tree = ast.parse(file.read_text())
        constants = _constants(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_log_call(node):
                found += [
                    LogText(file, shown) for text in _expanded(node.args[0], constants) if (shown := _shown(text))
                ]
    return found


def _is_log_call(call: ast.Call) -> bool:
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr not in _LEVELS or not call.args:
        return False
    return ast.unparse(function.value).rpartition(".")[2].strip("_") in ("log", "logger")


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    return {
        target.id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _expanded(node: ast.expr, constants: dict[str, ast.expr]) -> Iterator[str]:
    """Each text that an expression may give."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name) if name in constants:
            yield from _expanded(constants[name], constants)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for first in _expanded(left, constants):
                yield from (first + second for second in _expanded(right, constants))
        case ast.IfExp(body=body, orelse=orelse):
            yield from _expanded(body, constants)
            yield from _expanded(orelse, constants)


def _shown(text: str) -> str:
    """The text with its values as an ellipsis; empty if nothing but values is left."""
    shown = _PLACEHOLDER.sub("…", text)
    return shown if re.search(r"[a-z]{3}", shown) else ""


REMEDIES: dict[str, str] = {
    "The worker says of this request": "The worker took the request, and found what its author should know: a field "
    "that "
    "it does not know (correct its name), or a graph that no worker serves (correct the name, or start a worker for "
    "it).",
    "The agent's graph raised": "The lines below it are the graph's own: mend the code that the last of "
    "them names, or what it works with.",
    "The XCom … cannot be written": "What it would hold is in the log as well. The text says what Airflow refused.",
    "The link … is not shown": "Correct the option of `[langgraph]` that the text names.",
    "The link … cannot be shown yet": "Nothing: it is shown when the task defers or ends. The text says what Airflow "
    "refused.",
    "The graph is not checked": "The request was sent without the check. Create the graphs topic, grant Airflow the "
    "right to read it, or start a worker, as the text says.",
    "The graph is asked all the same": "Look at what the text says behind the colon: if no deployment is under way, it "
    "is a mistake of the task's.",
    "An event is published without what it should have": "Correct the name of the field that the text quotes.",
    "None has reported of any other request": "Start a worker for this events topic; `langgraph-worker check` on its "
    "host "
    "says what is wrong. A worker that runs and is full writes `no events are taken in` to its log.",
    "Workers report of other requests": "Look into the workers' logs: `no events are taken in` names the limit that is "
    "reached. Otherwise the request is at work, and its worker cannot say so.",
    "The clock of worker": "Let NTP set the clocks of both hosts: a deadline is an instant, and both sides judge it.",
    "Waiting on: …; trying again": "Nothing, if Kafka comes back: the wait goes on. The text names what does not "
    "answer.",
    "Waiting on: …": "Nothing is lost: the wait goes on with the reason that it names. Mend that.",
    "The agent failed": "The text is that of its exception: see the table above. Its agent is the one in brackets.",
    "Not asked yet, trying again": "Nothing, if Kafka comes back: the task's next agent is asked then.",
    "Some agents could not be cancelled": "Kafka did not take the cancels. The agents end at their deadline at the "
    "latest.",
    "go on, as they cannot be cancelled": "Mend the connection. The task does not need these agents, which end at "
    "their deadline at the latest.",
    "could not be cancelled, and runs": "Kafka did not take the cancel. The agent ends at its deadline at the latest.",
    "Airflow still shows the form of an earlier question": "Read the present question in the task's log, and put its "
    "code into the form's field `code`.",
    "Airflow keeps the first form of this task, which is for": "Those who may answer now are the ones that the text "
    "names last. Where Airflow's form lets none of them in, answer with a `LangGraphResumeOperator`.",
    "An answer was not given to the agent": "Answer again, as the text says: the task waits on.",
    "A run of an older try may go on until": "Grant Airflow the right to write to the control topic, or create it. "
    "Until a worker accepts the new try, an agent of the older one may go on.",
    "could not be sent yet": "Nothing, if Kafka comes back: it is tried for ten minutes.",
    "could not be sent: …": "The cancel is given up after ten minutes without Kafka: its agent runs to its deadline.",
    "The connection's own error_cb failed": "Correct the function that the connection's extra names as `error_cb`.",
    "Cannot read …: …": "The lines of what the agent does are missing, and nothing else: create the progress topic, or "
    "grant Airflow the right to read it.",
    "Not cancelled: Airflow does not say": "If the task was killed, its agent runs to its deadline.",
    "Not cancelled: connection … cannot be read": "Mend the connection; the agent runs to its deadline.",
    "Cannot … yet: …": "Nothing, if it works later: it is tried again.",
    "back failed: …; again in": "Nothing, if Kafka comes back.",
    "The shared consumer of … failed": "The triggerer starts another one, and no reply is lost. Please report the "
    "traceback.",
    "Cannot read … yet": "Nothing, if Kafka comes back. The text names what is wrong, such as a missing right.",
    "results are gone; reading on from": "Results were removed before they were read: keep the results topic longer. "
    "The workers are asked for them again.",
    "was created anew; reading it from its start": "Nothing: the workers are asked again for what was in the old "
    "topic.",
    "can no longer be read, asking the workers": "Nothing: the workers publish the stored results again.",
    "cannot be read, trying again": "Nothing, if Airflow can read its connections again.",
    "Airflow connection … cannot be read: …": "Nothing, if Airflow can read its connections again.",
}
"""What to do about a text, by a part of it. The longest part that fits a text is the one that is meant."""


def remedy_of(text: str) -> str | None:
    """What to do about a text of a log; None if nothing is known."""
    fitting = [part for part in REMEDIES if part in text]
    return REMEDIES[max(fitting, key=len)] if fitting else None
