"""Permissions in a folder that several users share by its group, such as a volume with Kubernetes' `fsGroup`.

Pods of one group may have other users' ids, and a umask that keeps the group from writing: then a file that the first
pod made could be locked, continued or removed by no other. So what is made in a folder that its group may write is
given to that group as well. In anybody's own folder nothing changes.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

_OWNER: Final = stat.S_IRWXU
_GROUP: Final = 3
"""Bits between what the owner may do and what the group may."""


def share(path: Path, folder: Path) -> None:
    """Let the group do with a file or folder what its owner may, if the group may write the folder that holds it.

    Args:
      path: what this process has made; what belongs to somebody else is left alone, as nobody else may change it.
      folder: the shared folder, which `path` lies in or below.
    """
    if not stat.S_IMODE(os.stat(folder).st_mode) & stat.S_IWGRP:
        return
    status = os.lstat(path)
    if status.st_uid != os.geteuid() or stat.S_ISLNK(status.st_mode):
        return
    mode = stat.S_IMODE(status.st_mode)
    wanted = mode | ((mode & _OWNER) >> _GROUP)
    if wanted != mode:
        with contextlib.suppress(OSError):  # a file system without permissions keeps nobody out
            os.chmod(path, wanted)


def without_access(folder: Path, *names: str) -> Path | None:
    """Return what keeps this process from writing in a folder: the folder, or a file there; None if nothing does.

    Args:
      folder: the nearest one above that is there counts, if it is missing.
      names: of files in it that would be written; they may be missing.
    """
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return folder
    return next((folder / name for name in names if _is_closed(folder / name)), None)


def _is_closed(path: Path) -> bool:
    return os.path.lexists(path) and not os.access(path, os.R_OK | os.W_OK)
