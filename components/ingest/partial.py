"""Files that Beam's workers leave below an artifact for the process that started them, and the refusals among them.

Workers write below the artifact's folder, which they share with that process by contract. A runner may execute a bundle
twice, or two copies of it at once, so a file either has a name of its own that only its writer's result mentions, or it
takes its name in one step and has the same bytes whoever writes it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from components import disk
from components.errors import MnistTfxError
from components.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTIAL: Final = ".partial"
"""Folder in the artifact for what workers hand back: removed before the artifact is published."""

REFUSAL: Final = ".refusal"

_CARRIED: Final = re.compile(r"<mnist-tfx:([A-Za-z0-9+/=]+)>")


def keep(folder: Path, name: str, content: bytes) -> None:
    """Write a file of the artifact in one step: a bundle that is tried again finds a whole file or none.

    Raises:
      EnvironmentProblem: when there is no room for it, naming file and size.
    """
    with writing(folder, name, need=len(content)) as file:
        file.write(content)


@contextlib.contextmanager
def writing(folder: Path, name: str, *, need: int | None = None) -> Iterator[BinaryIO]:
    """Open a file of the artifact that takes its name when the block ends well.

    Args:
      folder: of the artifact.
      name: of the file in it.
      need: bytes that it takes, for the error; None where that is not known before.

    Raises:
      EnvironmentProblem: when there is no room for it, naming file and size.
    """
    part = folder / PARTIAL / f"{uuid.uuid4().hex}.part"
    try:
        # Not durable: the artifact counts once its record does, and an execution that was cut short starts over.
        with replacing(folder / name, part=part, durable=False) as file:
            yield file
    except OSError as err:
        err.filename = str(folder / name)  # the part's own name says nothing to anybody
        raise disk.problem(err, "cannot be written", where=folder / name, need=need) from err


@contextlib.contextmanager
def carrying(folder: Path) -> Iterator[None]:
    """Turn a known failure into one whose text carries it: Beam's runners pass on a worker's text, not its exception.

    Some pass on nothing at all, as Spark does with a submitted jar: a file beside the artifact's parts says it as well.

    Args:
      folder: of the artifact.
    """
    try:
        yield
    except MnistTfxError as err:
        said = json.dumps(err.to_dict())
        with contextlib.suppress(MnistTfxError, OSError):  # of a disk that is full, or a folder that is gone
            keep(folder, f"{PARTIAL}/{uuid.uuid4().hex}{REFUSAL}", said.encode())
        raise RuntimeError(f"{err} <mnist-tfx:{base64.b64encode(said.encode()).decode()}>") from err


def carried(err: BaseException, folder: Path | None = None) -> MnistTfxError | None:
    """Return the known failure that came over with `err`, or that a worker left in a folder; None if there is none."""
    found = _CARRIED.search(str(err))
    if found is not None:
        return MnistTfxError.from_dict(json.loads(base64.b64decode(found[1])))
    left = () if folder is None else sorted((folder / PARTIAL).glob(f"*{REFUSAL}"))
    return next((MnistTfxError.from_dict(json.loads(file.read_text())) for file in left), None)
