"""What can go wrong in the worker itself. What goes wrong in a run becomes a result: :mod:`langgraph_worker.faults`.

::

    WorkerError
    ├── SettingsError           a setting is wrong: names it, its value's place and the remedy; exit code 2
    ├── GraphLoadError          langgraph.json, or a graph it names, cannot be loaded
    ├── NotSerializableError    a value has no JSON form (outcome.py)
    ├── StoreError              the run store cannot be used
    │   ├── StoreLockedError    another worker process owns the SQLite store
    │   ├── UnstorableError     the database cannot keep a value; no trouble of its own
    │   └── LeaseLostError      the run has another owner by now, or none
    └── BrokerError             Kafka cannot be used: unreachable, refused credentials, a topic is missing
        ├── SendError           a message is not acknowledged (kafka/port.py)
        └── DeadLetterError     a dead letter cannot be written, so the worker stops (deadletters.py)
"""

from __future__ import annotations


class WorkerError(Exception):
    """Base of the worker's own errors. Each ends the command with its message and exit code 1, without a traceback.

    :cvar retriable: whether starting again can help without anyone changing anything.
    """

    retriable = False


class SettingsError(WorkerError):
    """A setting is wrong."""


class GraphLoadError(WorkerError):
    """``langgraph.json``, or a graph that it names, cannot be loaded."""


class StoreError(WorkerError):
    """The run store cannot be used."""

    retriable = True


class StoreLockedError(StoreError):
    """Another process holds the SQLite store. Remedy: stop it, or give this worker a store of its own."""


class UnstorableError(StoreError):
    """A value is one that the database cannot keep: text with NUL, a number out of range."""

    retriable = False


class LeaseLostError(StoreError):
    """What an owner writes under a void lease is not written. The run goes on with its new owner, or has ended."""

    retriable = False


class BrokerError(WorkerError):
    """Kafka cannot be used."""

    retriable = True
