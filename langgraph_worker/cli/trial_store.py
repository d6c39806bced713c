"""A store to examine, so that looking leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.store_url import missing_file


@contextmanager
def trial_store(settings: WorkerSettings) -> Iterator[WorkerSettings]:
    """Settings with the store to open. Where the worker's first start will make an SQLite file, it is a new file in the
    same folder, removed behind: the folder's rights and its file system are examined, and no store is made.
    """
    file = missing_file(settings.store_url)
    if file is None or not file.parent.is_dir():  # the store itself says best what is wrong with its folder
        yield settings
        return
    try:
        holder = tempfile.TemporaryDirectory(prefix=f".{file.name}-check-", dir=file.parent)
    except OSError:
        yield settings
        return
    with holder as folder:
        yield settings.model_copy(update={"store_url": f"sqlite:///{Path(folder, file.name)}"})
