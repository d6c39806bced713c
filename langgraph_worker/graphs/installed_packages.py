"""Which packages that a project asks for are installed here. Nothing is installed, and no index is asked."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from langgraph_worker.graphs.project_folder import ProjectFolder

_SHOWN = 8
_SITES = frozenset({"site-packages", "dist-packages"})
_SERVER = frozenset({"langgraph-api", "langgraph-cli", "langgraph-runtime-inmem"})  # the worker takes its place
_PASSWORD = re.compile(r"(?<=//)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class _Missing:
    text: str
    reason: str = ""  # why an installed one does not do; empty if there is none


def package_notes(packages: Iterable[str], projects: Collection[ProjectFolder]) -> list[str]:
    """Up to one sentence about what is not installed, and one about what is installed in another version.

    :param packages: requirements, as they are written in the manifest and in files of the project.
    :param projects: the project's own folders: what they build is imported from them, and need not be installed.
    """
    own = {project.name for project in projects} | _SERVER
    found = [missing for text in dict.fromkeys(packages) for missing in _examine(text.strip(), own)]
    absent = list(dict.fromkeys(missing.text for missing in found if not missing.reason))
    others = list(dict.fromkeys(f"{missing.text} ({missing.reason})" for missing in found if missing.reason))
    notes = [_absent_note(absent, projects)] if absent else []
    if others:
        notes.append(f"not installed as the project asks: {_some(others)}")
    return notes


def copy_notes(projects: Iterable[ProjectFolder]) -> list[str]:
    """A sentence for each folder whose package is installed here from elsewhere, which hides the folder's modules."""
    notes = []
    for project in projects:
        found = _distribution(project.name) if project.name else None
        if found is not None and not _comes_from(found, project.path):
            notes.append(
                f"{project.name!r} is installed here and not from {project.path}: the installed modules are imported, "
                f"not those of the folder. Install it with pip install -e {shlex.quote(str(project.path))}"
            )
    return notes


def _examine(text: str, own: Collection[str | None]) -> Iterator[_Missing]:
    shown = _PASSWORD.sub("***@", text)
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        if "://" in text:
            if not _is_installed_from(text):
                yield _Missing(shown)
        else:
            yield _Missing(shown, "neither a folder nor the name of a package")
        return
    if canonicalize_name(requirement.name) in own or not _applies(requirement):
        return
    plain = _PASSWORD.sub("***@", str(requirement).partition(";")[0].strip())
    found = _distribution(requirement.name)
    if found is None:
        yield _Missing(plain)
    elif not _fits(requirement, found):
        yield _Missing(plain, f"{found.version} is installed")
    else:
        yield from _missing_of_extras(requirement, found)


def _fits(requirement: Requirement, found: Distribution) -> bool:
    try:
        return requirement.specifier.contains(found.version, prereleases=True)
    except InvalidVersion:  # a version of its own kind: not ours to judge
        return True


def _missing_of_extras(requirement: Requirement, found: Distribution) -> Iterator[_Missing]:
    for extra in sorted(requirement.extras):
        for text in found.requires or []:
            try:
                needed = Requirement(text)
            except InvalidRequirement:  # old metadata
                continue
            if _applies(needed, extra) and not _applies(needed) and _distribution(needed.name) is None:
                yield _Missing(f"{requirement.name}[{extra}]", f"{needed.name} is missing")


def _applies(requirement: Requirement, extra: str = "") -> bool:
    try:
        return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    except ValueError:  # a comparison that makes no sense
        return True


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):
        return None


def _is_installed_from(url: str) -> bool:
    """Whether a URL that names no package is installed: by its fragment, its last part, or what pip has noted."""
    address = url.partition("+")[2] if url.split("://")[0].count("+") else url
    egg = re.search(r"[#&]egg=([A-Za-z0-9._-]+)", url)
    last = urlsplit(address).path.rpartition("/")[2].partition("@")[0].removesuffix(".git")
    if last.endswith(".whl"):
        last = last.partition("-")[0]
    if _distribution(egg[1] if egg else last) is not None:
        return True
    wanted = _repository(address)
    return any(_repository(_origin(found)[0]) == wanted for found in distributions() if _origin(found)[0])


def _repository(url: str) -> str:
    """Host and path, without what differs among the spellings of one repository."""
    parts = urlsplit(url)
    return f"{parts.hostname}{parts.path.partition('@')[0].removesuffix('.git')}".lower()


def _origin(found: Distribution) -> tuple[str, bool]:
    """The URL that a distribution was installed from, empty for an index; and whether as ``pip install -e``."""
    try:
        noted = json.loads(found.read_text("direct_url.json") or "{}")
        return str(noted.get("url", "")), bool(noted.get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError):
        return "", False


def _comes_from(found: Distribution, folder: Path) -> bool:
    url, editable = _origin(found)
    if editable and Path(unquote(urlsplit(url).path)).resolve() == folder:
        return True
    place = Path(str(found.locate_file(""))).resolve()
    # Metadata in the folder itself is of no install; but the worker's environment may lie there.
    return place.is_relative_to(folder) and _SITES.isdisjoint(place.parts)


def _absent_note(absent: list[str], projects: Iterable[ProjectFolder]) -> str:
    arguments = absent
    if len(absent) > _SHOWN:  # by the files that name them
        arguments = [argument for project in projects for argument in project.pip_arguments()] or absent
    subject = "dependency" if len(absent) == 1 else "dependencies"
    verb = "is" if len(absent) == 1 else "are"
    named = _some([repr(text) for text in absent])
    return f"{subject} {named} {verb} not installed here: pip install {' '.join(map(shlex.quote, arguments))}"


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
