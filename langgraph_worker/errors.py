"""What can go wrong in the worker itself. What goes wrong in a run is a result: :mod:`langgraph_worker.domain.faults`.

One tree; a class that needs the types of its room stands there::

    WorkerError
    ├── SettingsError           a setting is wrong: names it, its value's place and the remedy; exit code 2
    ├── GraphLoadError          langgraph.json, or a graph that it names, cannot be loaded
    ├── NotSerializableError    a value has no JSON form (domain/json_values.py)
    ├── NotStorableError        a graph's state has no stored form (checkpoints/serializer.py); a TypeError too
    ├── NotLoadableError        a checkpoint names a class that is not loaded (checkpoints/serializer.py); a ValueError
    ├── GraphChangedError       a graph in a node would skip what it had left (checkpoints/resumed_graphs.py)
    ├── ForeignThreadError      a node names a thread that its run does not own; a ValueError too
    ├── ForeignNamespaceError   a graph in a node takes the checkpoints' place of a graph around it; a ValueError too
    ├── NoServerError           a graph calls get_client() without a URL, and there is no server in this process
    ├── BlockingCallError       an asynchronous node's blocking calls would wait for their turns; a RuntimeError too
    ├── MemoryFullError         a graph puts more into the long-term memory than it may hold
    ├── MemoryValueError        a graph puts what JSON cannot hold into the long-term memory; a TypeError too
    ├── EmbeddingError          the project's embedding function gave no vectors (checkpoints/memory_vectors.py)
    ├── RedactionError          the project's redaction hook failed (domain/redaction.py)
    ├── RunFaultError           ends a run with a fault that the worker names (execution/run_fault.py)
    │   └── BudgetExceededError a model is not called: the run has no budget for it (execution/run_meter.py)
    ├── StartOverError          another release began the run, and it starts over (execution/release_policy.py)
    ├── WaitsForTurnError       a run goes on when its turn to call a model comes (execution/turn_wait.py)
    ├── NotReplayableError      a dead letter has no request that could run (publishing/replay.py)
    ├── NoOutputError           a superstep in which a call was refused is not stored (checkpoints/failed_tasks.py)
    ├── UnansweredError         a request waits for a conversation that waits for a person (runtime/local_worker.py)
    ├── StoreError              the run store cannot be used
    │   ├── StoreLockedError    another worker process owns the SQLite store
    │   ├── SchemaError         the database cannot be brought up to date (store/migrations/migrate.py)
    │   ├── RowError            one row of what was asked cannot be read, decided or written; the store is well
    │   │   ├── NoRoomError     the long-term memory is full; the graph gets MemoryFullError
    │   │   ├── UnstorableError the database cannot keep a value of it
    │   │   └── ConflictError   a row that it refers to is gone
    │   └── LeaseLostError      the run has another owner by now, or none
    ├── NotFoundError           the store does not have a run that is named (operations/store_access.py)
    ├── NotForkableError        a run has no checkpoint with which a fork could begin so (cli/runs/fork_run.py)
    ├── NotForgottenError       what is to be forgotten cannot go now (cli/forget.py)
    ├── NotResumableError       a run is not to be resumed (operations/resumption.py)
    │   └── AsksFirstError      it waits for a person: it goes on with an answer
    ├── AnswerMisfitError       an answer names no question of several, or one that is not asked
    ├── ProblemError            ends a request to the API with what is wrong (api/problems.py)
    ├── UnreadableTokensError   the file of the API's tokens cannot be read now (api/tokens.py)
    ├── NotSentError            the broker has not acknowledged a message (operations/sending.py)
    └── BrokerError             Kafka cannot be used: unreachable, refused credentials, a topic is missing
        ├── SendError           a message is not acknowledged (broker/port.py)
        └── DeadLetterError     a dead letter cannot be written, so the worker stops
"""

from __future__ import annotations

import traceback
from pathlib import Path


class WorkerError(Exception):
    """Base of the worker's own errors. An unhandled one ends the command: its message, exit code 1, no traceback.

    :ivar retriable: whether the same again, later, can succeed without a change by a person.
    """

    retriable: bool = False


def unexpected(error: BaseException) -> BaseException | None:
    """The error, if its traceback says more than its message does: for ``exc_info`` of a log's line.

    None for the worker's own: what they were raised from, such as a database's error, quotes the values of a row.
    """
    return None if isinstance(error, WorkerError) else error


class SettingsError(WorkerError):
    """A setting is wrong."""


class GraphLoadError(WorkerError):
    """``langgraph.json``, or a graph that it names, cannot be loaded."""


class ForeignThreadError(WorkerError, ValueError):
    """A node reads or writes the checkpoints of a thread that its run does not own. A fault of the graph."""


class ForeignNamespaceError(WorkerError, ValueError):
    """A graph inside of a node would write its checkpoints over those of a graph around it. A fault of the graph."""


class NoServerError(WorkerError):
    """A graph calls the LangGraph server of its own process, ``get_client()`` without a URL. A fault of the graph."""


class BlockingCallError(WorkerError, RuntimeError):
    """An asynchronous node calls a limited model by blocking methods, twice, and would have to wait. A fault of the
    graph.
    """


class MemoryFullError(WorkerError):
    """A graph puts more into the long-term memory than it may hold: nothing of it was written."""


class MemoryValueError(WorkerError, TypeError):
    """A graph puts a value into the long-term memory that JSON, or the database, cannot hold. Nothing was written."""


class StoreError(WorkerError):
    """The run store cannot be used.

    :param retriable: None: as the class says, True for this one.
    """

    retriable = True

    def __init__(self, text: str, *, retriable: bool | None = None) -> None:
        super().__init__(text)
        if retriable is not None:
            self.retriable = retriable


class StoreLockedError(StoreError):
    """Another process holds the SQLite store. Remedy: stop it, or give this worker a store of its own."""


class RowError(StoreError):
    """One row of what was asked cannot be read, decided or written; the store itself is well.

    Of several rows the others can be handled, each by itself (rule 20).
    """

    retriable = False

    @classmethod
    def caused_by(cls, error: Exception, place: str) -> RowError:
        """The error for what a transaction's own code raised: it lies in a row. The text holds no value of that row.

        :param place: the store's.
        """
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        return cls(f"the run store {place} cannot handle a row: {type(error).__name__}{where}")


class UnstorableError(RowError):
    """A value is one that the database cannot keep: text with NUL, a number out of range."""


class NoRoomError(RowError):
    """The long-term memories would hold more than they may. The graph gets it as :exc:`MemoryFullError`."""


class ConflictError(RowError):
    """A row that it refers to is gone. Where another transaction may have removed it just now, the store repeats its
    own; so who gets this error has a damaged store.
    """


class LeaseLostError(StoreError):
    """What an owner writes under a void lease is not written. The run goes on with its new owner, or has ended."""

    retriable = False


class BrokerError(WorkerError):
    """Kafka cannot be used."""

    retriable = True


class DeadLetterError(BrokerError):
    """A dead letter cannot be written, so the worker must stop: going on would drop the event."""

    retriable = False
