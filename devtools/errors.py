"""What can go wrong with the parts of a development environment. Each message says what to do.

::

    DevtoolsError
    ├── PortInUseError       another program listens there
    ├── MissingToolError     a program or a package that this machine lacks
    ├── NoRealKafkaError     a real Apache Kafka was insisted on, and there is none
    ├── ChildDiedError       a child process ended by itself
    ├── NotReadyError        a part was not ready in time
    ├── BrokerError          the broker refuses what a ready one does
    └── AirflowError         Airflow's REST API, or a DAG in it, says no
"""

from __future__ import annotations


class DevtoolsError(Exception):
    """Base of all. The text is written for the person at the terminal."""


class PortInUseError(DevtoolsError):
    """Another program listens on a port that was asked for.

    :param purpose: what needs the port.
    :param variable: the environment variable that moves it.
    """

    def __init__(self, port: int, purpose: str, variable: str) -> None:
        self.port = port
        super().__init__(
            f"port {port}, needed for {purpose}, is in use by another program. "
            f"Stop that program, or choose another port: {variable}={port + 1}"
        )


class MissingToolError(DevtoolsError):
    """A program or a package is not on this machine. Retrying never helps, installing does."""


class NoRealKafkaError(DevtoolsError):
    """A real Apache Kafka was insisted on, and none can be had on this machine."""


class ChildDiedError(DevtoolsError):
    """A child process ended although nobody had stopped it.

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
    """The broker answers, but refuses what every part needs of it."""


class AirflowError(DevtoolsError):
    """Airflow's REST API answered with an error, or a DAG cannot be used.

    :param status: the HTTP status, None when it was not a refused request.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)
