"""What the Makefile downloads, it knows by a hash."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def recipes() -> str:
    return (ROOT / "Makefile").read_text().replace("\\\n", " ")


def test_everything_that_is_installed_has_a_hash():
    installs = [line for line in recipes().splitlines() if re.search(r"pip (install|sync)", line)]
    assert len(installs) >= 3
    for line in installs:
        assert "--require-hashes" in line or line.endswith("--editable .")  # this package itself


def test_uv_is_installed_by_its_entry_in_the_lock():
    (script,) = re.findall(r"<\(awk '(.+?)' locks/dev\.txt\)", recipes())
    found = subprocess.run(["awk", script, "locks/dev.txt"], cwd=ROOT, capture_output=True, text=True, check=True)
    first, *others = found.stdout.splitlines()
    assert re.fullmatch(r"uv==[0-9.]+ \\", first)
    assert others
    assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", other) for other in others)
