"""Child processes that never outlive their parent, and the ports they listen on.

Each child runs in a session of its own, so that a Ctrl-C at the terminal reaches the parent only. It writes to a log
file. An environment variable holds its ancestry: by it, all that the child started can be found and ended, in any
process group (Airflow gives each task one of its own). A child that ends by itself is missed: the next wait fails at
once and names the child, unless :meth:`Child.wait` waits for its end.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from devtools.errors import ChildDiedError, DevtoolsError, MissingToolError, NotReadyError, PortInUseError
from devtools.reaper import ANCESTRY, kill_descendants

STOP_SECONDS = 10.0
"""How long a child may take to end after SIGTERM before its group is killed."""

_T = TypeVar("_T")
_OWN_ID = uuid.uuid4().hex[:12]
_expected: list[Child] = []
"""The children that must be alive."""


class Child:
    """A running child process.

    :param name: its name in messages: "worker".
    :param log: the file of its output; a new process appends to it.
    :param env: its whole environment; None for this process's own.
    :param ends: whether it ends by itself when its work is done; then it is not missed.
    :param user: the account that it runs as; None for this process's own. Only root may name one.
    :param last_words: what it writes when it has stopped its work, some time before it exits.
    :param starts: what starts it, and gives what :class:`subprocess.Popen` does.
    :raises MissingToolError: the program does not exist.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ends: bool = False,
        user: str | None = None,
        last_words: str = "",
        starts: Callable[..., Any] = subprocess.Popen,
    ) -> None:
        reaper = _start_reaper()
        self.name = name
        self.log = log
        self._ends = ends
        self._last_words = last_words
        self._id = uuid.uuid4().hex[:12]
        environment = dict(os.environ if env is None else env)
        above = os.environ.get(ANCESTRY)
        environment[ANCESTRY] = ":".join(filter(None, (above, _OWN_ID, self._id)))
        environment["SPT_NOENV"] = "1"  # else setproctitle, which Airflow uses, overwrites the ancestry
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with log.open("ab") as output:
                self._first_byte = output.tell()
                self._process: subprocess.Popen[bytes] = starts(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    cwd=cwd,
                    start_new_session=True,
                    **as_user(user),
                )
        except FileNotFoundError as error:
            raise MissingToolError(f"cannot start the {name}: {error.filename} does not exist") from error
        if user is not None:
            _name_to(reaper, self.pid)
        _expected.append(self)

    @property
    def pid(self) -> int:
        """The process id; also its process group and session."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for the signal that ended it, None while it runs."""
        return self._process.poll()

    @property
    def has_written_last_words(self) -> bool:
        """Whether it has stopped its work; False for a child without last words."""
        return bool(self._last_words) and self._last_words in self.output()

    def output(self) -> str:
        """All that it has written so far, without the output of an earlier process in the same log."""
        with self.log.open("rb") as log:
            log.seek(self._first_byte)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 15) -> str:
        """The last lines of its output, indented."""
        last = self.output().rstrip().splitlines()[-lines:]
        return "\n".join(f"    {line}" for line in last) or "    (it wrote nothing)"

    def wait(self, timeout: float) -> int:
        """Wait until it ends by itself, and return its exit status.

        :raises NotReadyError: it still runs after ``timeout`` seconds.
        """
        self._excuse()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NotReadyError(
                f"the {self.name} still runs after {timeout:.0f} s. Its last lines:\n{self.tail()}"
            ) from None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to its group. If it ends, it is missed: see :meth:`wait`."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it in an orderly way: TERM, up to 10 s, then KILL for it and all that it started. Idempotent."""
        stop_all([self])

    def kill(self) -> None:
        """SIGKILL it and all that it started, and wait until they have ended."""
        self._excuse()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        kill_descendants(self._id)

    def _excuse(self) -> None:
        if self in _expected:
            _expected.remove(self)


def stop_all(children: Iterable[Child], *, at_last_words: bool = False) -> None:
    """Stop children at the same time: TERM to each, up to 10 s for all, then KILL for those that are left.

    :param at_last_words: KILL a child that has written its last words, too.
    """
    children = list(children)
    for child in children:
        child._excuse()
        if child.returncode is None:
            child.signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(_is_awaited(child, at_last_words) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in children:
        child.kill()


def _is_awaited(child: Child, at_last_words: bool) -> bool:
    return child.returncode is None and not (at_last_words and child.has_written_last_words)


def check_children() -> None:
    """Check that every child that must be alive is alive.

    :raises ChildDiedError: a child is not; the text names it, with the last lines of its output.
    """
    for child in _expected:
        status = child.returncode
        if status is not None and not (child._ends and status == 0):
            _expected.remove(child)
            raise ChildDiedError(child.name, _status_words(status), child.tail())


def wait_until(
    what: str,
    check: Callable[[], _T | None],
    *,
    timeout: float,
    show: Iterable[Child] = (),
    interval: float = 0.1,
) -> _T:
    """Ask ``check`` again and again until its answer is true, and return that answer.

    :param what: what is waited for, for the message: "the worker to be ready".
    :param timeout: seconds.
    :param show: the children whose last lines the message shows when the time is over.
    :param interval: seconds between two questions.
    :raises ChildDiedError: a child ended by itself; at once.
    :raises NotReadyError: the time is over.
    """
    deadline = time.monotonic() + timeout
    while not (answer := _ask(check)):
        check_children()
        if time.monotonic() > deadline:
            tails = "".join(f"\nThe last lines of the {child.name}:\n{child.tail()}" for child in show)
            raise NotReadyError(f"waited {timeout:.0f} s in vain for {what}.{tails}")
        time.sleep(interval)
    return answer


def _ask(check: Callable[[], _T | None]) -> _T | None:
    try:
        return check()
    except DevtoolsError:
        check_children()  # an ended child explains more than the error that follows from it
        raise


def as_user(name: str | None) -> dict[str, Any]:
    """Arguments of :mod:`subprocess` for a process of that account, with its primary group only; empty for None."""
    if name is None:
        return {}
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def free_port() -> int:
    """A TCP port that nothing on this machine listens on, and that no other call gets while this process lives.

    It is below the range from which the kernel takes ports for outgoing connections. So a server that was stopped finds
    its port free when it comes back, and a client that retries meanwhile cannot connect to itself.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        if _is_free(port) and _reserve(port):
            return port
    raise DevtoolsError("found no free TCP port between 20000 and 32000")


def require_port(port: int, purpose: str, variable: str) -> int:
    """The port, if a server may listen on it.

    :raises PortInUseError: the text names the purpose, and the environment variable that changes the port.
    """
    if not _is_free(port):
        raise PortInUseError(port, purpose, variable)
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _reserve(port: int) -> bool:
    """Whether this process has the port from now on. A server may listen on it some time later, or again."""
    folder = Path(tempfile.gettempdir()) / f"devtools-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)  # ends with the process: it is never closed
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    return True


def _status_words(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


_reaper: subprocess.Popen[bytes] | None = None


def _start_reaper() -> subprocess.Popen[bytes]:
    """The reaper of this process, started once."""
    global _reaper
    if _reaper is not None:
        return _reaper
    script = Path(__file__).with_name("reaper.py")
    _reaper = subprocess.Popen(
        [sys.executable, "-P", str(script), _OWN_ID], stdin=subprocess.PIPE, start_new_session=True, cwd="/"
    )
    atexit.register(_dismiss_reaper, _reaper)
    return _reaper


def _name_to(reaper: subprocess.Popen[bytes], pid: int) -> None:
    """Name a child of another account to the reaper, which may be unable to read the child's environment."""
    assert reaper.stdin is not None
    reaper.stdin.write(b"%d\n" % pid)
    reaper.stdin.flush()


def _dismiss_reaper(reaper: subprocess.Popen[bytes]) -> None:
    assert reaper.stdin is not None
    reaper.stdin.close()
    reaper.wait()
