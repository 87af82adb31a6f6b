"""Refusals of earlier attempts at a task, kept where the next attempt finds them.

Argo sees exit code 1 for every failure, so its retries repeat what no retry can mend: a training that diverged, a model
that was not blessed. The next attempt is another pod, which shares nothing with the first but volumes and, on Vertex AI,
the mounted buckets: KFP's launcher uploads nothing of a failed task but its log. So a refusal is kept on the volume that
trainings are resumed from, or else beside the task's outputs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Final

from components import untrusted
from components.digest import canonical_json, sha256_bytes
from components.errors import BadInput, EnvironmentProblem, MnistTfxError, Refused
from components.files import replacing
from pipeline.kubeflow import places
from pipeline.kubeflow.names import CHECKPOINT_FOLDER
from pipeline.kubeflow.places import Place

RETRY_INDEX: Final = "KFP_RETRY_INDEX"
"""Environment variable: 0 in a task's first pod; KFP's driver sets it."""

FOLDER: Final = "refusals"
LIMIT: Final = 64 * 1024
"""Bytes of a file; a refusal takes less than one of them in a thousand."""

HELPLESS: Final = (BadInput, Refused)
"""What a retry ends with again: the inputs are the same, byte for byte."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refusals:
    """Where the attempts at one task keep their refusal.

    Attributes:
      file: takes it.
    """

    file: Path

    @classmethod
    def of(cls, place: Place, node: str, key: str) -> Refusals:
        """Return the place of a task's refusal.

        Args:
          place: of the task: its run, and the folder of its outputs, which no other task has.
          node: id of the node.
          key: its node key: what was asked for, and the digests of all that it reads.
        """
        attempt = {"root": place.root, "run": place.run_id, "folder": place.folder, "node": node, "key": key}
        name = f"{sha256_bytes(canonical_json(attempt))}.json"
        volume = os.environ.get(CHECKPOINT_FOLDER)
        if volume is not None:
            return cls(file=places.volume(volume) / FOLDER / name)
        return cls(file=places.local(place.root) / place.folder / FOLDER / name)

    def repeat(self) -> None:
        """End as an earlier attempt did, if one refused.

        Raises:
          BadInput: as that attempt.
          Refused: as that attempt.
        """
        try:
            fields = untrusted.read_json(self.file, limit=LIMIT)
            attempt = f"attempt {int(fields['attempt'])}" if fields["attempt"] is not None else "an earlier attempt"
            err = MnistTfxError.from_dict({**_texts(fields["error"]), "what": _repeated(fields["error"], attempt)})
        except (MnistTfxError, KeyError, TypeError, ValueError, AttributeError):
            return  # none did, or nobody can read what it left: then the work is done again
        if isinstance(err, HELPLESS):
            raise err

    def keep(self, err: MnistTfxError) -> None:
        """Write down how this attempt ended, if every other one has to end so; says if it cannot."""
        if not isinstance(err, HELPLESS):
            return
        index = os.environ.get(RETRY_INDEX, "")
        attempt = int(index) + 1 if index.isascii() and index.isdecimal() else None
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.file) as file:
                file.write(json.dumps({"attempt": attempt, "error": _texts(err.to_dict())}).encode())
        except OSError as lost:
            problem = EnvironmentProblem("the refusal cannot be kept", where=lost.filename, got=lost.strerror)
            print(f"{problem}: a retry will do the work again", flush=True)  # noqa: T201  # the pod's log

    def forget(self) -> None:
        """Remove what an earlier attempt left, once one has succeeded."""
        with contextlib.suppress(OSError):
            self.file.unlink(missing_ok=True)


def _texts(fields: dict[str, Any]) -> dict[str, str | None]:
    """Return the parts of an error as a message shows them, without the report behind it."""
    return {name: None if fields[name] is None else str(fields[name]) for name in ("kind", *_PARTS)}


def _repeated(fields: dict[str, Any], attempt: str) -> str:
    return f"{fields['what']} (repeated: {attempt} refused)"


_PARTS: Final = ("what", "where", "wanted", "got", "hint")
