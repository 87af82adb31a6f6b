"""Publication of a checked SavedModel as the next version of a serving directory, all of it or none of it.

TF Serving takes any numbered folder for a version, whatever it holds. So a version is written under a name that is no
number, synced, read back, and only then renamed; the number is claimed before, and never given out twice. Whoever is
killed on the way leaves at most a `.stage-*` folder, which the next push clears, and a gap in the numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from components import disk
from components.digest import CHUNK, is_provenance, tree_digest
from components.errors import EnvironmentProblem, Refused
from components.files import sync_folder
from components.serving import (
    PROVENANCE,
    SIGNATURE,
    STAGE_PREFIX,
    ServedVersion,
    claim,
    clear_stages,
    highest_claimed,
    locked,
    next_version,
    refuse_other_pipeline,
    refuse_strangers,
    told_pipeline,
    versions,
)
from components.sharing import share


@dataclasses.dataclass(frozen=True, kw_only=True)
class Publication:
    """What a push came to.

    Attributes:
      version: the number served now.
      path: its folder.
      digest: its model digest, read back from disk.
      repeated: whether the highest version already held these bytes, so that nothing was written.
    """

    version: int
    path: Path
    digest: str
    repeated: bool = False


def publish(  # noqa: PLR0913  # what is pushed, where to, and what goes along
    saved_model: Path,
    serving_dir: Path,
    provenance: Path,
    digest: str,
    *,
    signature: Path | None = None,
    anew: bool = False,
) -> Publication:
    """Serve a SavedModel.

    Args:
      saved_model: its folder.
      serving_dir: made if need be.
      provenance: the manifest that goes along as `assets.extra/provenance.json`.
      digest: the model digest that was evaluated and checked.
      signature: the envelope over the manifest, if it is signed; it goes along as `SIGNATURE`.
      anew: whether bytes that are there already get a new number unless theirs is the last one given out: what is staged
        under a number that is lower than what is served could never be served.

    Returns:
      The new version; or the highest one, if its bytes are the very same. A copy of it would be one more version for
      the servers to load, with nothing new in it.

    Raises:
      BadInput: if what was pushed there last is another pipeline's.
      EnvironmentProblem: if the directory cannot be written, is full, has no number left, or gives back other bytes;
        also if the new version is there and cannot be made durable.
      Refused: if the model is not the one that was checked, or holds a link.
    """
    with locked(serving_dir):
        with _explained(saved_model, serving_dir):
            beside = {PROVENANCE: provenance} | ({} if signature is None else {SIGNATURE: signature})
            made = _made(saved_model, serving_dir, beside, digest, anew=anew)
        _make_durable(made)
    return made


def _made(saved_model: Path, serving_dir: Path, beside: Mapping[str, Path], digest: str, *, anew: bool) -> Publication:
    """Make the next version, with a rename as the last thing that can fail; the lock is held."""
    refuse_other_pipeline(serving_dir, told_pipeline(beside[PROVENANCE]))
    refuse_strangers(serving_dir, highest_claimed(serving_dir) + 1)
    # What cannot be removed is for `lineage gc` to report: it is no reason not to push.
    clear_stages(serving_dir)
    served = _already_highest(serving_dir, digest)
    if served is not None and not (anew and served.version < highest_claimed(serving_dir)):
        return Publication(version=served.version, path=served.path, digest=digest, repeated=True)
    stage = serving_dir / f"{STAGE_PREFIX}{uuid.uuid4().hex}"
    try:
        _fill(stage, saved_model, beside)
        _verify(stage, saved_model, digest)
        version = next_version(serving_dir)
        claim(serving_dir, version)
        # A directory is never renamed over anything but an empty directory: nothing can be replaced.
        os.rename(stage, serving_dir / str(version))
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    return Publication(version=version, path=serving_dir / str(version), digest=digest)


def _make_durable(made: Publication) -> None:
    # A version found there already may be what a push left that could not do this.
    try:
        sync_folder(made.path.parent)
    except OSError as err:
        raise EnvironmentProblem(
            f"version {made.version} is served, but a power cut may still take it away",
            where=made.path,
            got=err.strerror,
            hint="run again once the disk is well: the same bytes are not pushed twice",
        ) from err


def _already_highest(serving_dir: Path, digest: str) -> ServedVersion | None:
    found = versions(serving_dir)
    return found[-1] if found and found[-1].complete and found[-1].digest == digest else None


def _fill(stage: Path, saved_model: Path, beside: Mapping[str, Path]) -> None:
    _make_folder(stage, stage.parent)
    for folder, folders, files in os.walk(saved_model):
        inside = Path(folder).relative_to(saved_model)
        for name in folders:
            _refuse_link(Path(folder, name))
            _make_folder(stage / inside / name, stage.parent)
        for name in files:
            if not is_provenance((inside / name).as_posix()):
                _refuse_link(Path(folder, name))
                _refuse_special(Path(folder, name))
                _copy(Path(folder, name), stage / inside / name, stage.parent)
    for name, source in beside.items():
        if not (stage / name).parent.is_dir():
            _make_folder((stage / name).parent, stage.parent)
        _copy(source, stage / name, stage.parent)
    for folder, _, _ in os.walk(stage, topdown=False):
        sync_folder(folder)


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise Refused("a model must not hold links", where=path, got=f"a link to {os.readlink(path)}")


def _refuse_special(path: Path) -> None:
    # Opening a FIFO would wait for a writer, with the lock held.
    if not path.is_file():
        raise Refused("a model must hold plain files alone", where=path, got="a FIFO, socket or device")


def _make_folder(folder: Path, serving_dir: Path) -> None:
    folder.mkdir()
    share(folder, serving_dir)


def _copy(source: Path, target: Path, serving_dir: Path) -> None:
    with source.open("rb") as reader, target.open("xb") as writer:
        share(target, serving_dir)
        shutil.copyfileobj(reader, writer, CHUNK)
        writer.flush()
        os.fsync(writer.fileno())


def _verify(stage: Path, saved_model: Path, digest: str) -> None:
    if (got := tree_digest(stage)) == digest:
        return
    if tree_digest(saved_model) == got:
        raise Refused(
            "these are not the bytes that were evaluated",
            where=saved_model,
            wanted=digest,
            got=got,
            hint="the model was changed after training; run again with --force Classifier",
        )
    raise EnvironmentProblem("the copy reads back differently", where=stage, wanted=digest, got=got)


@contextlib.contextmanager
def _explained(saved_model: Path, serving_dir: Path) -> Iterator[None]:
    """Turn the operating system's errors into one line that names the path and, where space ran out, the bytes."""
    try:
        yield
    except OSError as err:
        where = err.filename or serving_dir
        if disk.is_full(err):
            need = sum(path.stat().st_size for path in saved_model.rglob("*") if path.is_file())
            raise disk.no_space(where, need, hint=f"nothing was pushed; {disk.AGAIN}") from err
        raise EnvironmentProblem("cannot push", where=where, got=err.strerror, hint="nothing was pushed") from err
