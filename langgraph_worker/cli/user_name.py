"""Who gives a command."""

from __future__ import annotations

import getpass


def user_name(given: str | None) -> str | None:
    """Who gives a command.

    :param given: the value of ``--by``; None: the system's user, where it has a name.
    """
    if given is not None:
        return given
    try:
        return getpass.getuser()[:128] or None
    except (OSError, KeyError):  # a container's user may have none
        return None
