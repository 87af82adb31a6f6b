"""Version of a Kubeflow Pipelines server, of which depend the fields that it takes."""

from __future__ import annotations

import re
from typing import Final

from components.errors import BadInput

KfpVersion = tuple[int, ...]

OLDEST: Final[KfpVersion] = (2, 5, 0)
NEWEST: Final[KfpVersion] = (2, 17, 0)
"""The newest release that compiled files have been held against; taken where nothing says what the server is."""

_FORM: Final = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})(?:\.([0-9]{1,3}))?")


def parse(text: str, where: str = "--kfp-version") -> KfpVersion:
    """Return `2.15.0` or `v2.15` as numbers.

    Raises:
      BadInput: for anything else, and for a release before 2.5.0.
    """
    match = _FORM.fullmatch(text)
    version = tuple(int(number or 0) for number in match.groups()) if match else ()
    if version < OLDEST:
        raise BadInput("no version of a server", where=where, wanted=f"{written(OLDEST)} or newer", got=text)
    return version


def written(version: KfpVersion) -> str:
    """Return `(2, 15, 0)` as 2.15.0."""
    return ".".join(map(str, version))
