"""What the demo and the tests rely on: a child process never outlives its parent."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.errors import ChildDiedError, DevtoolsError, MissingToolError, NotReadyError, PortInUseError
from devtools.processes import Child, free_port, require_port, wait_until
from tests.support.leftovers import marked, new_mark

# Its own child leaves the process group and the session, and writes over its environment as Airflow's tasks do.
STUBBORN = """
import setproctitle, signal, subprocess, sys
if sys.argv[1:] == []:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, __file__, "grandchild"], start_new_session=True).wait()
setproctitle.setproctitle("a title " * 100)
print("up", flush=True)
signal.pause()
"""
PARENT = """
import signal, sys
from pathlib import Path
from devtools.processes import Child, wait_until
child = Child("child", [sys.executable, sys.argv[1]], log=Path(sys.argv[2]))
wait_until("the grandchild", lambda: "up" in child.output(), timeout=15)
print("up", flush=True)
signal.pause()
"""


@pytest.fixture
def stubborn(tmp_path) -> str:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    return str(script)


def test_stop_reaches_what_left_the_group(stubborn, tmp_path, monkeypatch):
    mark = new_mark()
    monkeypatch.setenv(*next(iter(mark.items())))
    child = Child("child", [sys.executable, stubborn, "grandchild"], log=tmp_path / "log")
    other = Child("other", [sys.executable, stubborn], log=tmp_path / "log of the other")
    wait_until("both", lambda: "up" in child.output() and "up" in other.output(), timeout=15)
    child.stop()
    assert child.returncode == -signal.SIGTERM
    other.kill()
    assert other.returncode == -signal.SIGKILL
    assert marked(mark) == []


@pytest.mark.timeout(60)
def test_a_killed_parent_leaves_nothing(stubborn, tmp_path):
    mark = new_mark()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, stubborn, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**mark, "PATH": ""},
    )
    with parent:
        assert parent.stdout.readline() == b"up\n"
        assert len(marked(mark)) == 4  # parent, child, grandchild, reaper
        parent.kill()
    wait_until("all to be gone", lambda: marked(mark) == [], timeout=30)


def test_a_child_that_dies_ends_every_wait(tmp_path):
    child = Child("clerk", ["bash", "-c", "echo out of ink; exit 3"], log=tmp_path / "log")
    with pytest.raises(ChildDiedError, match=r"the clerk died \(exit status 3\)(.|\n)*out of ink"):
        wait_until("never", lambda: None, timeout=15)
    wait_until("what comes next", lambda: True, timeout=15)
    child.stop()


def test_a_child_that_ends_with_its_work_done_is_not_missed(tmp_path):
    child = Child("clerk", ["true"], log=tmp_path / "log", ends=True)
    wait_until("its end", lambda: child.returncode == 0, timeout=15)
    with pytest.raises(NotReadyError):
        wait_until("never", lambda: None, timeout=0.3)


def test_a_wait_that_is_over_shows_the_last_words(tmp_path):
    child = Child("clerk", ["bash", "-c", "echo still counting; sleep 60"], log=tmp_path / "log")
    wait_until("its word", lambda: "counting" in child.output(), timeout=15)
    with pytest.raises(NotReadyError, match=r"0 s in vain for the sum(.|\n)*still counting"):
        wait_until("the sum", lambda: None, timeout=0.1, show=[child])
    child.stop()


def test_a_second_child_does_not_show_what_the_first_wrote(tmp_path):
    for word in ("first", "second"):
        child = Child("clerk", ["echo", word], log=tmp_path / "log")
        assert child.wait(15) == 0
    assert child.output() == "second\n"


def test_a_program_that_is_missing_is_named(tmp_path):
    with pytest.raises(MissingToolError, match="cannot start the clerk: no-such-program"):
        Child("clerk", ["no-such-program"], log=tmp_path / "log")


def test_a_port_is_handed_out_once_also_to_other_processes_until_its_own_ends(monkeypatch):
    """A server takes its port some time after it was chosen: two test processes had chosen one."""
    ask = "from devtools.processes import free_port; print(free_port(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        theirs, own = int(one.stdout.readline()), free_port()
        monkeypatch.setattr("random.sample", lambda *_: [theirs, own])
        with pytest.raises(DevtoolsError, match="no free TCP port"):
            free_port()
        one.communicate("\n")
    assert free_port() == theirs


def test_a_port_in_use_is_named_with_its_purpose_and_the_remedy():
    port = free_port()
    assert require_port(port, "the desk", "DESK_PORT") == port
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(PortInUseError, match=rf"port {port}, needed for the desk(.|\n)*DESK_PORT={port + 1}"),
    ):
        require_port(port, "the desk", "DESK_PORT")
