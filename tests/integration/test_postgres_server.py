from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from devtools import system_postgres
from devtools.errors import DevtoolsError, MissingToolError
from devtools.postgres import choose_postgres, postgres_required
from devtools.postgres_server import ExternalPostgres
from devtools.processes import free_port, wait_until
from devtools.system_postgres import SystemPostgres, find_binaries, lives

pytestmark = pytest.mark.integration

# Root without the capabilities to read another account's environment, as Docker starts it.
_LOST = "-sys_admin,-sys_ptrace,-perfmon"
AS_IN_A_CONTAINER = ["setpriv", f"--bounding-set={_LOST}", f"--inh-caps={_LOST}"]
PARENT = """
import signal
from devtools.system_postgres import SystemPostgres
with SystemPostgres() as server:
    print(server.child.pid, server.directory, flush=True)
    signal.pause()
"""


def test_a_database_is_empty_and_of_this_test_alone(postgres_server, postgres_url):
    other = postgres_server.create_database("other's")
    try:
        with psycopg.connect(postgres_url) as connection:
            connection.execute("CREATE TABLE notes (text text)")
        with psycopg.connect(other) as connection:
            assert connection.execute("SELECT to_regclass('notes')").fetchone() == (None,)
    finally:
        postgres_server.drop_database(other)


def test_a_database_is_dropped_though_somebody_uses_it(postgres_server):
    url = postgres_server.create_database()
    with psycopg.connect(url) as connection:
        postgres_server.drop_database(url)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)
    postgres_server.drop_database(url)


@pytest.mark.timeout(60)
def test_data_and_port_survive_a_stop_and_a_kill():
    with system_postgres_server() as server:
        url = server.create_database()
        write(url, "CREATE TABLE notes (text text)")
        server.stop()
        server.start()
        write(url, "INSERT INTO notes VALUES ('before')")
        with psycopg.connect(url) as lost:
            lost.execute("INSERT INTO notes VALUES ('not committed')")
            processes = psutil.Process(server.child.pid).children()
            assert lost.info.backend_pid in [process.pid for process in processes]
            server.kill()
            assert not any(map(lives, processes))
            with pytest.raises(psycopg.OperationalError):
                lost.execute("SELECT 1")
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT text FROM notes").fetchall() == [("before",)]
        folder = server.directory
    assert not folder.exists()


def test_the_settings_make_a_crash_test_honest(postgres_server):
    if postgres_server.kind != "system":
        pytest.skip(f"{postgres_server.description} has settings of its own")
    names = ("fsync", "synchronous_commit", "full_page_writes", "server_encoding")
    with psycopg.connect(postgres_server.url) as connection:
        values = [connection.execute("SELECT current_setting(%s)", [name]).fetchone()[0] for name in names]
        collation = connection.execute("SELECT datcollate FROM pg_database WHERE datname = 'postgres'").fetchone()
    assert values == ["on", "on", "on", "UTF8"]
    assert collation == ("C",)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("prefix", [[], AS_IN_A_CONTAINER], ids=["plain", "in a container"])
def test_a_killed_parent_leaves_no_server(prefix):
    require_binaries()
    if prefix and (os.geteuid() != 0 or shutil.which(prefix[0]) is None):
        pytest.skip("only root can give up its capabilities, by setpriv")
    command = [*prefix, sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True) as parent:
        pid, folder = parent.stdout.readline().split()
        postmaster = psutil.Process(int(pid))
        processes = [postmaster, *postmaster.children()]
        parent.kill()
    try:
        wait_until("all of it to be gone", lambda: not any(map(lives, processes)), timeout=30)
    finally:
        for process in filter(lives, processes):
            process.kill()
        shutil.rmtree(folder)


def test_a_server_that_dies_at_its_start_shows_its_last_words():
    with system_postgres_server() as server:
        server.stop()
        (server.directory / "data" / "postgresql.conf").write_text("no_such_setting = 1")
        with pytest.raises(DevtoolsError, match=r"PostgreSQL server died(.|\n)*no_such_setting"):
            server.start()


def test_a_server_that_is_not_there_is_named_without_its_password():
    port = free_port()
    server = ExternalPostgres(f"postgresql://postgres:secret@127.0.0.1:{port}/postgres")
    with pytest.raises(DevtoolsError, match=rf"127\.0\.0\.1:{port} is not usable: (.|\n)*refused") as caught:
        server.open()
    assert "secret" not in str(caught.value)


def test_the_environment_names_a_server_that_is_not_ours(monkeypatch, postgres_server):
    monkeypatch.setenv("DEVTOOLS_POSTGRES_URL", postgres_server.url)
    with choose_postgres() as server:
        assert server.kind == "external"
        assert f"PostgreSQL {postgres_server.version} (DEVTOOLS_POSTGRES_URL) on " in server.description
        for act in (server.start, server.stop, server.kill):
            with pytest.raises(DevtoolsError, match=rf"cannot {act.__name__} PostgreSQL .*DEVTOOLS_POSTGRES_URL"):
                act()
    write(postgres_server.url, "SELECT 1")


@pytest.mark.parametrize("url", ["localhost:5432", "mysql://u@host/db", "postgresql://host:x/db", "postgresql://host"])
def test_a_url_of_something_else_is_refused(monkeypatch, url):
    monkeypatch.setenv("DEVTOOLS_POSTGRES_URL", url)
    with pytest.raises(DevtoolsError, match="DEVTOOLS_POSTGRES_URL must have the form postgresql://"):
        choose_postgres()


@pytest.fixture
def bare_machine(monkeypatch, tmp_path) -> Path:
    """No server in the environment, no Docker engine, and no binaries; the folder that is all of PATH."""
    monkeypatch.delenv("DEVTOOLS_POSTGRES_URL", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(system_postgres, "DEBIAN", tmp_path / "debian")
    return tmp_path


@pytest.mark.usefixtures("bare_machine")
def test_a_bare_machine_is_told_the_remedy():
    remedy = r"initdb and postgres; .*no Docker engine.*apt-get install postgresql.* DEVTOOLS_POSTGRES_URL="
    with pytest.raises(MissingToolError, match=remedy):
        choose_postgres()


def test_the_newest_complete_binaries_are_found(bare_machine):
    folders = [bare_machine / "debian" / version / "bin" for version in ("9.6", "15", "17")]
    for folder in folders:
        folder.mkdir(parents=True)
        program(folder / "postgres")
    for folder in folders[:2]:
        program(folder / "initdb")
    assert find_binaries() == folders[1]


@pytest.mark.parametrize(("value", "required"), [("true", True), ("1", True), ("", False), ("false", False)])
def test_ci_skips_nothing(monkeypatch, value, required):
    monkeypatch.setenv("CI", value)
    assert postgres_required() is required


def program(path: Path) -> None:
    path.touch(mode=0o755)


def write(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def require_binaries() -> None:
    try:
        find_binaries()
    except MissingToolError as error:
        if postgres_required():
            raise
        pytest.skip(str(error))


def system_postgres_server() -> SystemPostgres:
    require_binaries()
    return SystemPostgres()
