"""A real PostgreSQL without Docker: a cluster of its own, run by the server binaries of this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from devtools.errors import DevtoolsError, MissingToolError, NotReadyError
from devtools.postgres_server import PostgresServer
from devtools.processes import STOP_SECONDS, Child, as_user, free_port, wait_until

DEBIAN = Path("/usr/lib/postgresql")
"""The folder of Debian's binaries, with a folder for each major version."""

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # the path of a socket may be too long, and none is needed
    "shared_buffers": "64MB",
    "max_connections": "200",
}


class SystemPostgres(PostgresServer):
    """A cluster of its own: UTF8, locale C, fsync on, a superuser with a random password, on 127.0.0.1 only.

    It keeps its data and its port over a stop or a kill. PostgreSQL refuses to run as root: started by root, it runs as
    the account postgres or nobody.

    :param binaries: the folder of the server's programs; None for those of :func:`find_binaries`.
    :raises MissingToolError: the binaries are not there.
    """

    kind = "system"
    origin = "the system's"

    def __init__(self, binaries: Path | None = None) -> None:
        self._binaries = binaries or find_binaries()
        self._user = _user()
        self._port = free_port()
        self._password = secrets.token_hex(16)
        super().__init__(f"postgresql://postgres:{self._password}@127.0.0.1:{self._port}/postgres")
        folder = _folder_for(self._user)
        self._folder = tempfile.TemporaryDirectory(prefix="devtools-postgres-", dir=folder, ignore_cleanup_errors=True)
        self.child: Child | None = None

    @property
    def directory(self) -> Path:
        """The folder of its log and its data."""
        return Path(self._folder.name)

    @property
    def log(self) -> Path:
        """The file of its output; ``Child.tail`` shows the end of it."""
        return self.directory / "postgres.log"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def open(self) -> None:
        self._initialise()
        self.start()

    def start(self) -> None:
        if self.child is not None and self.child.returncode is None:
            return
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self._port)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        self.child = Child(
            "PostgreSQL server", command, log=self.log, env=_environment(), cwd=self.directory, user=self._user
        )
        self.wait_ready(show=[self.child])

    def stop(self) -> None:
        if self.child is None:
            return
        if self.child.returncode is None:
            self.child.signal(signal.SIGINT)
        try:
            self.child.wait(STOP_SECONDS)
        except NotReadyError:
            self.kill()

    def kill(self) -> None:
        if self.child is None or self.child.returncode is not None:
            return
        # Its processes have sessions of their own, and no environment that says who started them.
        postmaster = psutil.Process(self.child.pid)
        postmaster.suspend()  # it must not fork meanwhile
        stopped = psutil.STATUS_STOPPED
        wait_until("the postmaster to halt", lambda: postmaster.status() == stopped, timeout=5, interval=0.01)
        others = postmaster.children(recursive=True)
        for other in others:
            with contextlib.suppress(psutil.NoSuchProcess):
                other.kill()
        self.child.kill()
        wait_until("its processes to be gone", lambda: not any(map(lives, others)), timeout=5, interval=0.01)

    def close(self) -> None:
        try:
            if self.child is not None and self.child.returncode == -signal.SIGKILL:
                with contextlib.suppress(DevtoolsError):
                    self.start()  # only a start frees the shared memory that a killed server leaves
            self.stop()
        finally:
            self._folder.cleanup()

    def _initialise(self) -> None:
        password = self.directory / "password"
        password.write_text(self._password)
        self._own(self.directory, password)
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "--username=postgres", f"--pwfile={password}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        command += ["--no-sync"]  # concerns the new files only: the server syncs what it writes
        done = run(command, cwd=self.directory, user=self._user)
        password.unlink()
        if done.returncode != 0:
            raise DevtoolsError(f"PostgreSQL cannot make its data folder: {(done.stderr or done.stdout).strip()}")

    def _own(self, *paths: Path) -> None:
        """Give them to the account that the server runs as."""
        if self._user is not None:
            for path in paths:
                shutil.chown(path, self._user)


def find_binaries() -> Path:
    """The folder of the server's programs: pg_config's, else Debian's newest, else one on PATH.

    :raises MissingToolError: no folder has both initdb and postgres.
    """
    for folder in _folders():
        if all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres")):
            return folder
    raise MissingToolError(f"no folder of pg_config, {DEBIAN}/*/bin or PATH has both initdb and postgres")


def _folders() -> Iterator[Path]:
    if (pg_config := shutil.which("pg_config")) and (folder := run([pg_config, "--bindir"]).stdout.strip()):
        yield Path(folder)
    yield from sorted(DEBIAN.glob("*/bin"), key=_version, reverse=True)
    yield from map(Path, os.get_exec_path())


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.parent.name)]


def _user() -> str | None:
    """The account that the server runs as; None for this process's own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise MissingToolError("PostgreSQL does not run as root, and there is no account postgres or nobody")


def _folder_for(user: str | None) -> Path | None:
    """The folder for temporary files that the account can enter; None for the usual one."""
    if user is None:
        return None
    usual = Path(tempfile.gettempdir())
    for folder in (usual, Path("/tmp"), Path("/var/tmp")):
        if folder.is_dir() and can_enter(folder.resolve()):
            return folder
    raise DevtoolsError(f"the account {user}, which is to run PostgreSQL, cannot enter {usual}: set TMPDIR to another")


def can_enter(folder: Path) -> bool:
    """Whether every account of this machine can enter it."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))


def _environment() -> dict[str, str]:
    """The caller's environment without the variables of libpq and of the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended; a zombie has ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run(
    command: Sequence[str], *, cwd: Path | None = None, user: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL to its end.

    :param user: the account that it runs as; None for this process's own.
    :raises DevtoolsError: it has not ended within a minute.
    """
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=cwd,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            **as_user(user),
        )
    except subprocess.TimeoutExpired as error:
        raise DevtoolsError(f"{command[0]} did not end within 60 s: {' '.join(command)}") from error
