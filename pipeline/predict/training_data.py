"""Rows that a served version was trained on and those held out, as far as its root still has them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from components.digest import sha256_file
from components.errors import CannotTell, MnistTfxError
from components.features import TEST, TRAIN
from components.profile import require_profile
from components.untrusted import read_object
from pipeline.predict.answer import Version
from pipeline.provenance import record_store
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.statement import read_provenance
from pipeline.report import example_rows
from pipeline.report.example_rows import ImageRows
from pipeline.root.paths import RunPaths
from pipeline.stages import INGEST

TRAIN_ROWS: Final = 6_000
HELD_OUT_ROWS: Final = 1_000
"""Rows that are looked at, out of those sorted by their hash: as good a sample as any, and always the same."""

PROFILE: Final = "profile.json"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """What is known of a version's data.

    Attributes:
      train: rows it was trained on.
      held_out: rows of the test split, which it has never seen.
      profile: of the training split, as `components.profile.profile` returns it.
    """

    train: ImageRows
    held_out: ImageRows
    profile: Mapping[str, Any]


def read(root: Path, version: Version) -> TrainingData:
    """Return the data behind a version, compared with what its records say.

    Raises:
      CannotTell: if it is not there any more, or is not what was recorded.
    """
    with rows_behind(version):
        folder, files = examples(root, version)
        require_recorded(folder, files, (PROFILE, f"Split-{TRAIN}/", f"Split-{TEST}/"))
        profile = read_object(folder / PROFILE)["splits"][TRAIN]
        require_profile(profile)
        pixels = version.data.pixels
        return TrainingData(
            train=example_rows.read(folder, TRAIN, pixels, TRAIN_ROWS),
            held_out=example_rows.read(folder, TEST, pixels, HELD_OUT_ROWS),
            profile=profile,
        )


@contextlib.contextmanager
def rows_behind(version: Version) -> Iterator[None]:
    """Say that the rows of a version cannot be told where reading them fails, whatever is wrong with the files.

    Raises:
      CannotTell: instead of what was raised.
    """
    try:
        yield
    except CannotTell:
        raise
    except (MnistTfxError, OSError, KeyError, TypeError, ValueError, IndexError) as err:
        got = err if isinstance(err, MnistTfxError | OSError) else f"{type(err).__name__}: {err}"
        raise CannotTell("the rows behind it cannot be read", where=version.served, got=got) from err


def require_recorded(folder: Path, files: Mapping[str, Mapping[str, Any]], read_here: tuple[str, ...]) -> None:
    """Compare files of an Examples artifact with what was recorded of them.

    Args:
      folder: of the artifact.
      files: {path below it: what was recorded}.
      read_here: files, and folders with a slash at the end, that are to be compared.

    Raises:
      CannotTell: if one was changed.
      OSError: if one is gone.
    """
    for name in sorted(name for name in files if name.startswith(read_here)):
        if sha256_file(folder / name) != files[name]["sha256"]:
            raise CannotTell("was changed since it was recorded", where=folder / name)


def examples(root: Path, version: Version) -> tuple[Path, Mapping[str, Mapping[str, Any]]]:
    """Return the folder of the Examples behind a version, and what was recorded of its files."""
    provenance = read_provenance(root, version.served.version)
    executions = provenance["predicate"]["buildDefinition"]["internalParameters"]["executions"]
    known = [execution["record"] for execution in executions if execution["node"] == INGEST]
    record = record_store.read(RunPaths(root).records, known[-1])
    if not isinstance(record, ExecutionRecord):
        raise TypeError("not the record of an execution")
    (entry,) = record.outputs["examples"]
    return root / entry.path, entry.files
