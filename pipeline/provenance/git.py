"""The state of the project's Git checkout: commit, clean or dirty, and a digest of what is not committed.

Asks `git` about the folder that the packages lie in, never about the current one. Without git, or installed from a
wheel, the answer comes from the environment, where an image's build may have put it, or is `none`.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from components.digest import canonical_json, sha256_bytes, sha256_file
from components.errors import BadInput

PROJECT: Final = Path(__file__).resolve().parents[2]

SOURCES: Final = ("components", "pipeline", "schema", "requirements.lock")
"""Where an untracked file counts as a change: data, scratch folders and reports beside the code do not."""

COMMIT_VARIABLE: Final = "MNIST_TFX_GIT_COMMIT"
TREE_VARIABLE: Final = "MNIST_TFX_GIT_TREE"
CLEAN, DIRTY, NONE = "clean", "dirty", "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class GitState:
    """The commit that the code is at.

    Attributes:
      commit: 40 or 64 hex digits; None if unknown.
      tree: `clean`, `dirty`, or `none` where there is no commit to compare with.
      diff_sha256: digest over every path that differs from the commit and its content; None unless dirty.
    """

    commit: str | None = None
    tree: str = NONE
    diff_sha256: str | None = None


def git_state(folder: Path = PROJECT, environ: Mapping[str, str] | None = None) -> GitState:
    """Return the state of the checkout that holds `folder`.

    Raises:
      BadInput: if the baked-in commit or tree is not one.
    """
    environ = os.environ if environ is None else environ
    try:
        if not _git(folder, environ, "ls-files", "-z", "--", *SOURCES):
            return baked_in(environ)  # a wheel in an environment that lies inside somebody's checkout
        commit = _git(folder, environ, "rev-parse", "--verify", "HEAD").decode().strip()
        changes = _changes(folder, environ)
    except (OSError, subprocess.SubprocessError):
        return baked_in(environ)
    if not changes:
        return GitState(commit=commit, tree=CLEAN)
    return GitState(commit=commit, tree=DIRTY, diff_sha256=sha256_bytes(canonical_json(changes)))


def baked_in(environ: Mapping[str, str]) -> GitState:
    """Return the state that an image's build left in the environment, or that nothing is known.

    Raises:
      BadInput: if the variables hold something else.
    """
    commit, tree = environ.get(COMMIT_VARIABLE), environ.get(TREE_VARIABLE, NONE)
    if not commit:
        return GitState()
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit):
        raise BadInput("not a commit", where=COMMIT_VARIABLE, wanted="40 or 64 hex digits", got=commit[:80])
    if tree not in (CLEAN, DIRTY, NONE):
        raise BadInput("not a tree state", where=TREE_VARIABLE, wanted="clean, dirty or none", got=tree[:80])
    return GitState(commit=commit, tree=tree)


def _changes(folder: Path, environ: Mapping[str, str]) -> dict[str, str | None]:
    # Names come from git and contents from the files, because the text of a diff depends on the user's settings.
    tracked = _git(folder, environ, "diff", "HEAD", "--name-only", "-z", "--relative", "--no-renames", "--no-ext-diff")
    untracked = _git(folder, environ, "ls-files", "-z", "--others", "--exclude-standard", "--", *SOURCES)
    names = sorted(set(_names(tracked)) | set(_names(untracked)))
    return {name.decode(errors="backslashreplace"): _content(folder / os.fsdecode(name)) for name in names}


def _names(output: bytes) -> Sequence[bytes]:
    return [name for name in output.split(b"\0") if name]


def _content(path: Path) -> str | None:
    if path.is_symlink():
        return sha256_bytes(os.fsencode(os.readlink(path)))
    return sha256_file(path) if path.is_file() else None


def user_name(folder: Path | None = None) -> str | None:
    """Return `user.name` as Git has it in the working directory; None where it has none."""
    try:
        name = _git(folder or Path.cwd(), os.environ, "config", "--get", "user.name").decode("utf-8", "replace").strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return name if name and name.isprintable() else None


def _git(folder: Path, environ: Mapping[str, str], *arguments: str) -> bytes:
    # A hook or an outer `git` exports GIT_DIR and the like, which would answer for another repository.
    clean = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    return subprocess.run(command, env=clean, capture_output=True, check=True, timeout=60).stdout
