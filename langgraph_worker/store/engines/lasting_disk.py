"""Whether a file lies on a disk that outlives its container or its host. Linux says so; elsewhere it is not known."""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_OWN = frozenset({"overlay", "aufs"})  # a container's own layer
_MEMORY = frozenset({"tmpfs", "ramfs"})
_OCTAL = re.compile(r"\\([0-7]{3})")


def disk_risk(path: Path, mounts: Path = _MOUNTS) -> str:
    """What happens to a file that is kept there, in words; empty if nothing is known.

    :param mounts: as ``proc(5)`` describes it.
    """
    try:
        kinds = dict(map(_mount, mounts.read_text().splitlines()))
    except (OSError, ValueError, IndexError):
        return ""
    folder = path.absolute().parent.resolve()
    kind = next((kinds[place] for place in map(str, (folder, *folder.parents)) if place in kinds), "")
    if kind in _OWN:
        return f"{path} lies in the container's own layer, and is gone with it: put it on a volume"
    if kind in _MEMORY:
        return f"{path} lies in memory ({kind}), and is gone when the host restarts: put it on a disk"
    return ""


def _mount(line: str) -> tuple[str, str]:
    """A mount point, and the type of its file system."""
    about, _, system = line.partition(" - ")
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), about.split(" ")[4]), system.split(" ")[0]
