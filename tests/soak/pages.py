"""Pages of figures, as Prometheus would read them: of processes that live, and the last ones of those that ended."""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from langgraph_worker.telemetry.figures import Figure

Labels = tuple[str, ...]
"""The values of a figure's labels, in the figure's order."""

Page = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
"""Each sample's value, by its name and labels."""


def read_page(text: str) -> Page:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(port: int) -> Page:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return read_page(answer.read().decode())


def last_page(folder: Path, pid: int) -> Page | None:
    """What the process wrote when it ended; None if it did not end in order."""
    path = folder / f"{pid}.prom"
    return read_page(path.read_text()) if path.exists() else None


def values(page: Page, figure: Figure, part: str = "") -> Counter[Labels]:
    """A figure's values on a page.

    :param part: of a histogram: ``_count`` or ``_sum``.
    """
    found: Counter[Labels] = Counter()
    for (name, labels), value in page.items():
        if name == figure.full_name + part:
            by_name = dict(labels)
            found[tuple(by_name[label.name] for label in figure.labels)] += value  # type: ignore[assignment]
    return found


def risen(pages: Iterable[tuple[Page | None, Page]], figure: Figure, part: str = "") -> Counter[Labels]:
    """By how much a figure has risen over all processes, without what has not.

    :param pages: of each process: before and after; None: it was not there before.
    """
    total: Counter[Labels] = Counter()
    for before, after in pages:
        total.update(values(after, figure, part))
        if before is not None:
            total.subtract(values(before, figure, part))
    return Counter({labels: value for labels, value in total.items() if value})
