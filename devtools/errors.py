"""The errors of the parts of a development environment. Each text says what to do.

::

    DevtoolsError
    ├── PortInUseError       another program listens there
    ├── MissingToolError     a program or a package that this machine lacks
    ├── NoRealKafkaError     a real Apache Kafka is required, and there is none
    ├── ChildDiedError       a child process ended by itself
    ├── NotReadyError        a part was not ready in time
    ├── BrokerError          the broker refuses what a ready one does
    └── AirflowError         Airflow's REST API refuses, or a DAG fails
"""

from __future__ import annotations


class DevtoolsError(Exception):
    """Base of all errors. The text is for the person at the terminal."""


class PortInUseError(DevtoolsError):
    """Another program listens on a port that is needed.

    :param purpose: the part that needs the port.
    :param variable: the environment variable that moves it.
    """

    def __init__(self, port: int, purpose: str, variable: str) -> None:
        self.port = port
        super().__init__(
            f"port {port}, needed for {purpose}, is in use by another program. "
            f"Stop that program, or choose another port: {variable}={port + 1}"
        )


class MissingToolError(DevtoolsError):
    """A program or a package is not on this machine. Install it; to try again does not help."""


class NoRealKafkaError(DevtoolsError):
    """A real Apache Kafka is required, and there is none on this machine."""


class ChildDiedError(DevtoolsError):
    """A child process ended by itself.

    :param status: its exit status, or the signal that ended it, in words.
    :param tail: the last lines of its output.
    """

    def __init__(self, name: str, status: str, tail: str) -> None:
        self.name = name
        self.tail = tail
        super().__init__(f"the {name} died ({status}). The last lines of its output:\n{tail}")


class NotReadyError(DevtoolsError):
    """A part was not ready before the deadline."""


class BrokerError(DevtoolsError):
    """The broker answers, but refuses what every part needs."""


class AirflowError(DevtoolsError):
    """Airflow's REST API answered with an error, or a DAG cannot be used.

    :param status: the HTTP status, None if no request was refused.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)
