"""The user's cache folder: what lies outside every root because it can be fetched or read again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

CACHE: Final = "MNIST_TFX_CACHE"
"""Environment variable that names the folder."""


def user_cache() -> Path:
    """Return the folder, by `CACHE` or by the XDG base directory specification; it may not exist.

    Raises:
      RuntimeError: if neither names one and the user has no home.
    """
    if named := os.environ.get(CACHE):
        return Path(os.path.realpath(named))
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification: a path that is not absolute is to be ignored.
    return Path(os.path.realpath(base if os.path.isabs(base) else Path("~/.cache").expanduser())) / "mnist-tfx"
