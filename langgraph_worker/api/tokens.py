"""The clients' tokens: a file that has their hashes, and is read again when it changes."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langgraph_worker.api.access import Principal, Role
from langgraph_worker.domain.run_views import RunScope
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.settings.model import env_name
from workflow_events.nearest_name import did_you_mean

logger = logging.getLogger(__name__)

PREFIX = "lgw_"
"""Every token begins so, for programs that look for secrets in the wrong places."""

_LOOK_AGAIN_SECONDS = 1.0
_Name = Annotated[str, Field(min_length=1, max_length=128)]


class TokenEntry(BaseModel):
    """One ``[[tokens]]`` table of the file.

    :param name: of the client, as the audit and the log name it.
    :param sha256: of the token, in hexadecimal digits. It is 256 bits of chance, so it cannot be guessed from its hash.
    :param graphs: it may see and change runs of these alone; left out: of all.
    :param deployments: the same for Airflow installations. ``""`` stands for requests that are of none of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    role: Role
    graphs: frozenset[_Name] | None = None
    deployments: frozenset[Annotated[str, Field(max_length=512)]] | None = None

    @property
    def principal(self) -> Principal:
        """Who has the token."""
        return Principal(self.name, self.role, RunScope(self.graphs, self.deployments))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tokens: list[TokenEntry] = []  # an empty file has no valid token


class UnreadableTokensError(WorkerError):
    """The file cannot be read now. No token is valid meanwhile: a token may have been taken out of it."""


class TokenFile:
    """Finds who has a token.

    A change of the file counts within a second. While it cannot be read, no token is valid.

    :param now: seconds of a monotonic clock.
    :raises SettingsError: the file cannot be read now.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._stamp: tuple[int, int, int] | None = None
        self._problem: str | None = None
        self._principals: dict[str, Principal] = {}
        self._looked_at = -_LOOK_AGAIN_SECONDS
        self._look()
        if self._problem is not None:
            raise SettingsError(self._problem)

    def find(self, token: str) -> Principal | None:
        """The client of this token; None: there is none.

        :raises UnreadableTokensError: the file cannot be read.
        """
        if self._now() - self._looked_at >= _LOOK_AGAIN_SECONDS:
            self._look()
        if self._problem is not None:
            raise UnreadableTokensError
        return self._principals.get(digest_of(token))

    def _look(self) -> None:
        self._looked_at = self._now()
        try:
            about = self._path.stat()
            stamp = about.st_mtime_ns, about.st_size, about.st_ino
            if stamp == self._stamp:
                return
            entries = read_tokens(self._path.read_bytes())
        except OSError as error:
            self._stamp = None  # the same file may come back
            self._refuse(f"{error.strerror or error}")
        except ValueError as error:
            self._stamp = stamp
            self._refuse(str(error))
        else:
            self._stamp, self._problem = stamp, None
            self._principals = {entry.sha256: entry.principal for entry in entries}

    def _refuse(self, why: str) -> None:
        problem = f"{env_name('api_tokens_file')}={self._path}: {why}"
        if problem != self._problem:
            logger.error("%s. No token is valid until that is mended", problem, extra={"action": "api_tokens"})
        self._problem = problem


def read_tokens(text: bytes) -> list[TokenEntry]:
    """The entries of a file.

    :raises ValueError: names the entry that is wrong, and what is right.
    """
    try:
        entries = _File.model_validate(tomllib.loads(text.decode())).tokens
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from None
    except ValidationError as error:
        raise ValueError(_words(error.errors(include_url=False, include_input=False)[0])) from None
    for number, entry in enumerate(entries):
        for other in entries[:number]:
            if other.name == entry.name or other.sha256 == entry.sha256:
                same = "name" if other.name == entry.name else "sha256"
                raise ValueError(f"tokens.{number}.{same} is that of {other.name!r} as well: give each token its own")
    return entries


def _words(detail: Any) -> str:
    place = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        known = TokenEntry.model_fields if len(detail["loc"]) > 1 else _File.model_fields
        return f"{place} is not known.{did_you_mean(str(detail['loc'][-1]), list(known))}"
    if detail["loc"][-1] == "sha256":
        return f"{place} must be 64 hexadecimal digits in lower case, as `langgraph-worker api-token` prints them"
    return f"{place}: {detail['msg']}"


def digest_of(token: str) -> str:
    """What a file keeps of a token."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


def new_token() -> str:
    """A token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)
