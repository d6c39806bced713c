from __future__ import annotations

from pathlib import Path

import pytest

from langgraph_worker.store.engines.lasting_disk import disk_risk

MOUNTS = r"""22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw
23 22 0:21 / /data rw - ext4 /dev/sda1 rw
24 23 0:22 / /data/in\040memory rw - tmpfs tmpfs rw
25 22 0:23 /sub /tmp rw shared:2 master:1 - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/srv/store.db", "lies in the container's own layer"),
        ("/data/store.db", ""),
        ("/data/deeper/store.db", ""),
        ("/data/in memory/store.db", "lies in memory (tmpfs)"),
        ("/database/store.db", "lies in the container's own layer"),
    ],
)
def test_what_becomes_of_a_file_is_known_by_its_mount(tmp_path, path, says):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert disk_risk(Path(path), mounts).partition(path)[2].strip().startswith(says)
    assert bool(disk_risk(Path(path), mounts)) is bool(says)


@pytest.mark.parametrize("text", [None, "22 1\n", "nonsense - "])
def test_nothing_is_said_where_nothing_is_known(tmp_path, text):
    mounts = tmp_path / "mountinfo"
    if text is not None:
        mounts.write_text(text)
    assert disk_risk(Path("/srv/store.db"), mounts) == ""
