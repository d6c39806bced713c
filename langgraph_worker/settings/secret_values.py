"""Settings that are secrets: read from the environment or from a file, and hidden from the project's code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from langgraph_worker.errors import SettingsError
from langgraph_worker.settings.explain import documentation


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that holds the value of one setting."""

    env: str
    path: Path

    def read(self) -> str:
        """The value; blanks and line ends around it do not count, nor the mark with which Windows begins a text.

        :raises SettingsError: the file cannot be read, or is empty. The text holds nothing of its content.
        """
        named = f"{self.env}_FILE={str(self.path)!r}"
        try:
            value = self.path.read_text(encoding="utf-8-sig").strip()
        except OSError as error:
            raise SettingsError(
                f"{named}: the file cannot be read ({error.strerror}). Name a file that this user may read, or unset it"
            ) from None
        except UnicodeDecodeError:
            raise SettingsError(f"{named}: the file is not UTF-8. Write the value of {self.env} into it") from None
        if not value:
            raise SettingsError(f"{named}: the file is empty. Write the value of {self.env} into it, or unset it")
        return value


def secret_files(given: Mapping[str, str]) -> dict[str, SecretFile]:
    """The files that the settings name, by the variable of the setting whose value they hold.

    :param given: values of settings by the name of their variable; they win over the environment.
    :raises SettingsError: a setting has both a value and a file.
    """
    values = {name.upper(): value for name, value in os.environ.items() if value} | dict(given)
    files = {}
    for env in secret_variables():
        path = values.get(f"{env}_FILE")
        if path and env in values:
            raise SettingsError(f"{env}, {env}_FILE: both are set. Unset one of them")
        if path:
            files[env] = SecretFile(env, Path(path))
    return files


def secret_variables() -> frozenset[str]:
    """The environment variables that hold secrets."""
    return frozenset(setting.env for setting in documentation() if setting.secret)


def take_secrets_out_of_environment() -> None:
    """Remove the secret settings from this process's environment, and so from that of its later children.

    The settings must have been read.
    """
    secrets = secret_variables()
    for name in [name for name in os.environ if name.upper() in secrets]:
        del os.environ[name]
