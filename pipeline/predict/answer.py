"""Answers of a served version about images in its geometry, and its reconstructions of them.

The geometry is what the version's own provenance tells, and its signature has to agree. TensorFlow is imported when the
version is loaded, and not before.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.errors import BadInput, EnvironmentProblem, Refused
from components.features import RECONSTRUCT, SERVING_IMAGES
from components.serving import PROVENANCE, ServedVersion, versions
from components.settings import DataSettings
from components.wording import validated
from pipeline.process.child import CPU_ONLY, ENGINE_ENV
from pipeline.process.output import redirect_output
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.statement import read_provenance
from pipeline.root.paths import RunPaths
from pipeline.stages import INGEST

BATCH: Final = 256
"""Images to a question; also the steps in which progress is told."""

_GEOMETRY: Final = frozenset(DataSettings.model_fields) - {"split"}
"""What is known of a version's data: its images and classes, and how rows are to be read that come as its files did."""

UINT8 = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
    """A served version that is as it was pushed.

    Attributes:
      served: its number and folder.
      data: the geometry of its images.
    """

    served: ServedVersion
    data: DataSettings


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a version makes of one image.

    Attributes:
      label: the most probable class.
      probability: of it.
      second: the second most probable class.
      second_probability: of that.
      probabilities: float32 [classes].
      reconstruction: float32 [H, W] on the raw pixel scale; None where the version has no autoencoder.
    """

    label: int
    probability: float
    second: int
    second_probability: float
    probabilities: npt.NDArray[np.float32]
    reconstruction: npt.NDArray[np.float32] | None


def choose(root: Path, number: int | None) -> Version:
    """Return a served version, by default the newest that was pushed.

    Raises:
      BadInput: if it is not there.
      Refused: if its bytes are not those that were pushed.
      EnvironmentProblem: if its provenance does not tell the geometry.
    """
    if not root.is_dir():
        raise BadInput("no such folder", where=root, hint="name the pipeline's with --root")
    directory = ServingDirectory.of(RunPaths(root))
    newest = directory.newest if number is None else None
    wanted = newest.version if newest is not None else number
    if wanted is None:
        raise directory.nothing_served()
    known = {found.version: found for found in versions(RunPaths(root).serving)}
    if wanted not in known:
        raise BadInput("no such version", where=root, wanted=f"one of {', '.join(map(str, sorted(known)))}", got=number)
    if not known[wanted].as_pushed:
        hint = f"`mnist-tfx lineage audit {wanted}` says what is wrong with it"
        raise Refused("its bytes are not those that were pushed", where=known[wanted].path, hint=hint)
    return Version(served=known[wanted], data=_geometry(root, wanted))


def _geometry(root: Path, number: int) -> DataSettings:
    provenance = read_provenance(root, number)
    settings = provenance["predicate"]["buildDefinition"]["externalParameters"]["settings"].get(INGEST)
    told = settings if isinstance(settings, dict) else {}
    try:
        return validated(DataSettings, {name: told[name] for name in _GEOMETRY if name in told}, where=PROVENANCE)
    except EnvironmentProblem as err:
        what = "its provenance does not tell the geometry"
        raise EnvironmentProblem(what, where=f"version {number}", got=err.got) from err


class Model:
    """A version, loaded.

    Args:
      version: which one.
      saved_model: it, where it is in memory already.

    Raises:
      EnvironmentProblem: if TensorFlow cannot load it, or its signature is for another geometry.
    """

    def __init__(self, version: Version, saved_model: Any = None) -> None:
        where = version.served.path
        # The signatures live as long as what they were loaded with.
        self._loaded = _load(where) if saved_model is None else saved_model
        import tensorflow as tf

        self._tensor = tf.constant
        self._signatures = self._loaded.signatures
        try:
            (given,) = self._signatures[SERVING_IMAGES].structured_input_signature[1].values()
        except (KeyError, ValueError) as err:
            raise _not_loaded(where, err) from err
        if tuple(given.shape)[1:] != version.data.shape:
            raise EnvironmentProblem(
                "signature and provenance differ",
                where=where,
                wanted=f"images of {list(version.data.shape)}",
                got=list(given.shape)[1:],
            )

    def answers(
        self,
        images: Sequence[UINT8],
        progress: Callable[[int], None],
        views: Sequence[Sequence[UINT8]] | None = None,
    ) -> list[Answer]:
        """Ask about images, uint8 [H, W] each.

        Args:
          images: to ask about, and to reconstruct.
          progress: called with how many are done.
          views: further images of each; probabilities are the mean over all of them.
        """
        found: list[Answer] = []
        for start in range(0, len(images), BATCH):
            batch = slice(start, start + BATCH)
            found += self._batch(np.stack(images[batch]), None if views is None else views[batch])
            progress(len(found))
        return found

    @property
    def saved_model(self) -> Any:
        """The SavedModel as TensorFlow loaded it, with all its signatures."""
        return self._loaded

    def probabilities(self, images: UINT8) -> npt.NDArray[np.float32]:
        """Return the probabilities of all classes, float32 [N, classes], for uint8 [N, H, W]."""
        parts = [
            self._ask(SERVING_IMAGES, images[start : start + BATCH])["probabilities"]
            for start in range(0, max(len(images), 1), BATCH)
        ]
        return np.concatenate(parts)

    def _batch(self, images: UINT8, views: Sequence[Sequence[UINT8]] | None) -> Iterator[Answer]:
        probabilities = self._ask(SERVING_IMAGES, images)["probabilities"]
        if views is not None:
            probabilities = self._averaged(probabilities, views)
        drawn: Any = [None] * len(images)
        if RECONSTRUCT in self._signatures:
            drawn = self._ask(RECONSTRUCT, images.reshape(len(images), -1))["images"].reshape(images.shape)
        for row, reconstruction in zip(probabilities, drawn, strict=True):
            first, second = (int(label) for label in np.argsort(-row, kind="stable")[:2])
            yield Answer(
                label=first,
                probability=float(row[first]),
                second=second,
                second_probability=float(row[second]),
                probabilities=row,
                reconstruction=reconstruction,
            )

    def _averaged(
        self, probabilities: npt.NDArray[np.float32], views: Sequence[Sequence[UINT8]]
    ) -> npt.NDArray[np.float32]:
        every = [view for own in views for view in own]
        if not every:
            return probabilities
        seen = iter(self.probabilities(np.stack(every)))
        means = [
            np.mean([own, *(next(seen) for _ in more)], axis=0) for own, more in zip(probabilities, views, strict=True)
        ]
        return np.stack(means)

    def _ask(self, name: str, images: UINT8) -> dict[str, npt.NDArray[np.float32]]:
        signature = self._signatures[name]
        (argument,) = signature.structured_input_signature[1]
        return {key: value.numpy() for key, value in signature(**{argument: self._tensor(images)}).items()}


def _load(where: Path) -> Any:
    # What the version answers does not depend on the device, and a few images are not worth a GPU's start.
    os.environ.update({**ENGINE_ENV, **CPU_ONLY})
    # TensorFlow prints what it misses on this machine, and it is nothing that an answer needs.
    with redirect_output(Path(os.devnull)):
        import tensorflow as tf

        try:
            return tf.saved_model.load(str(where))
        except (OSError, KeyError, ValueError, tf.errors.OpError) as err:
            raise _not_loaded(where, err) from err


def _not_loaded(where: Path, err: Exception) -> EnvironmentProblem:
    return EnvironmentProblem("cannot be loaded", where=where, got=" ".join(str(err).split())[:200])
