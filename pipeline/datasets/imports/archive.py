"""Zip archives, unpacked into a temporary folder within limits: nothing leaves it, and nothing in it is a link."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from components.errors import BadInput, EnvironmentProblem, shortened
from components.untrusted import LARGEST_ARRAYS

MOST_MEMBERS: Final = 2_000_000
"""EMNIST as pictures has 800,000."""

_IN_THE_WAY: Final = (FileExistsError, NotADirectoryError, IsADirectoryError)
"""How an archive's own names stop it: its folder was empty."""

_FAULTS: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError)


def unpack(path: Path, folder: Path) -> None:
    """Unpack an archive.

    Args:
      path: a zip archive.
      folder: an empty folder.

    Raises:
      BadInput: if it is damaged, encrypted, too large, or has a member that would lie elsewhere.
      EnvironmentProblem: if the folder cannot be written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Not `is_dir`, which Python 3.10 ends in an IndexError for a member without a name.
            members = [one for one in archive.infolist() if not one.filename.endswith("/")]
            if len(members) > MOST_MEMBERS or sum(one.file_size for one in members) > LARGEST_ARRAYS:
                wanted = f"at most {MOST_MEMBERS} files and {LARGEST_ARRAYS} bytes"
                raise BadInput("too much in an archive", where=path, wanted=wanted, hint="unpack it yourself")
            for member in members:
                _unpack_one(archive, member, folder, path)
    except _IN_THE_WAY as err:
        what = "two members of the archive cannot lie side by side, or one has no name that a file can have"
        raise BadInput(what, where=path, got=Path(err.filename or "").name, hint="unpack it yourself") from err
    except _FAULTS as err:
        raise BadInput("not a zip archive that can be read", where=path, got=shortened(err, 120)) from err
    except OSError as err:
        raise EnvironmentProblem("cannot be unpacked", where=path, got=err.strerror or err) from err


def _unpack_one(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, path: Path) -> None:
    parts = PurePosixPath(member.filename).parts
    if ".." in parts or member.filename.startswith("/") or "\\" in member.filename:
        raise BadInput("a member would lie outside of the archive's folder", where=path, got=member.filename)
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Written as a plain file whatever its mode says: a link would be followed later.
    with archive.open(member) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file)
        if file.tell() > member.file_size:
            raise BadInput("a member is larger than it says", where=path, got=member.filename)
