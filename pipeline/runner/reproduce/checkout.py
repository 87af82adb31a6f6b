"""Checkouts of the commit that a version was made from, checked, and a run of that code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.digest import sha256_file
from components.errors import BadInput, EnvironmentProblem
from pipeline.config.request import Request
from pipeline.lineage.versions import RecordedVersion
from pipeline.provenance.git import CLEAN, COMMIT_VARIABLE, PROJECT, TREE_VARIABLE
from pipeline.provenance.own_code import own_digests
from pipeline.stages import CLASSIFIER


def commit_of(version: RecordedVersion) -> str:
    """Return the commit that the model was trained at.

    Raises:
      BadInput: if it is not recorded, or the tree was not clean.
    """
    git = version.executions[CLASSIFIER].git
    if git.commit is None or git.tree != CLEAN:
        what = "the code of this version was never committed"
        raise BadInput(what, where=version.name, wanted="a clean tree", got=git.tree, hint="leave out --checkout")
    return git.commit


def is_available(version: RecordedVersion) -> bool:
    """Return whether the version's commit can be checked out here."""
    try:
        commit = commit_of(version)
        _git("cat-file", "-e", f"{commit}^{{commit}}")
    except (BadInput, OSError, subprocess.SubprocessError):
        return False
    return True


def other_files(version: RecordedVersion, folder: Path) -> list[str]:
    """Return the project's recorded code files that are not the same below `folder`, sorted.

    A new file shows in its importer. The user's own code is no part of the project, and comes from its copy.
    """
    recorded = {path: sha256 for record in version.executions.values() for path, sha256 in record.code.files.items()}
    ours = recorded.keys() - own_digests(recorded).keys()
    return sorted(path for path in ours if _sha256(folder / path) != recorded[path])


def extracted(version: RecordedVersion, folder: Path) -> Path:
    """Write the version's commit to `folder`.

    Raises:
      BadInput: as `commit_of`.
      EnvironmentProblem: if the commit is not here, or does not hold the recorded code.
    """
    commit = commit_of(version)
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    try:
        _git("archive", "--format=tar", f"--output={archive}", commit)
    except (OSError, subprocess.SubprocessError) as err:
        hint = "fetch it, or leave out --checkout"
        raise EnvironmentProblem("the recorded commit is not here", where=PROJECT, wanted=commit, hint=hint) from err
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    if other := other_files(version, folder):
        what = "the commit does not hold the recorded code"
        raise EnvironmentProblem(what, where=commit, got=f"other files: {', '.join(other[:5])}")
    return folder


def run(code: Path, commit: str, request: Request) -> Mapping[str, Any]:
    """Run the code in a folder and return the answer of its `run --json`; its table is drawn on standard error.

    Code from before there was an envelope prints `status`, `error` and the data side by side, the error as text.

    Raises:
      EnvironmentProblem: if it gives no answer.
    """
    environment = {**os.environ, "PYTHONPATH": str(code), COMMIT_VARIABLE: commit, TREE_VARIABLE: CLEAN}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", *_arguments(request)],
        cwd=code,
        env=environment,
        stdout=subprocess.PIPE,
    )
    try:
        out, _ = process.communicate()
    except BaseException:
        process.terminate()  # it settles what it had begun, and ends
        process.wait()
        raise
    try:
        answer: Mapping[str, Any] = json.loads(out)
    except ValueError as err:
        got = f"exit code {process.returncode}"
        raise EnvironmentProblem("the recorded code gave no answer", where=commit, got=got) from err
    if "data" in answer:
        return answer
    error = None if answer["error"] is None else {"what": answer["error"]}
    return {"status": answer["status"], "error": error, "data": answer}


def _arguments(request: Request) -> list[str]:
    data = [argument for path in request.data for argument in ("--data", str(path.absolute()))]
    schema = [] if request.schema is None else ["--schema", str(request.schema)]
    return ["--recipe", str(request.recipe), "--root", str(request.root), *schema, *data, "--json"]


def _git(*arguments: str) -> None:
    # A hook or an outer `git` exports GIT_DIR and the like, which would answer for another repository.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(PROJECT), *arguments]
    subprocess.run(command, env=clean, capture_output=True, check=True, timeout=60)


def _sha256(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None
