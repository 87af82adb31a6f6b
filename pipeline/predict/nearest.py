"""Training rows that a version's own layers put nearest to an image, each with a proof that the version was trained on it.

The distance is Euclidean, between values that the served model computes on the way to its answer: those of the
autoencoder's latent layer or, where there is no autoencoder of ours, of the classifier's last hidden layer. It is a
likeness in the eyes of the model, not the cause of its answer.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.errors import CannotTell, MnistTfxError
from components.features import RECONSTRUCT, TRAIN
from pipeline.lineage.index import LineageIndex, open_lineage
from pipeline.lineage.rows import proofs, usage
from pipeline.lineage.rows.images import Picture
from pipeline.lineage.rows.index import RowIndex
from pipeline.lineage.rows.places import Place, Places, places
from pipeline.lineage.rows.proofs import RowProof
from pipeline.lineage.trace import DataFile, trace
from pipeline.predict import training_data
from pipeline.predict.answer import Version
from pipeline.provenance.statement import MERKLE, read_provenance
from pipeline.report import example_rows
from pipeline.stages import AUTOENCODER

Floats = npt.NDArray[np.float32]
UINT8 = npt.NDArray[np.uint8]
Show = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0 where that is not known)."""

COUNT: Final = 5
LATENT: Final = "the autoencoder's latent layer"
HIDDEN: Final = "the classifier's last hidden layer"

_BLOCK: Final = 1024
"""Rows that the model is asked about at a time."""

_NARROWED: Final = 8
"""Times as many rows as are wanted are measured exactly: the fast formula rounds."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Encoder:
    """The served model up to one of its layers.

    Attributes:
      layer: which one, in words.
      function: float32 pixels [N, H*W] on the raw scale -> float32 tensor [N, values].
    """

    layer: str
    function: Callable[[Any], Any]

    @classmethod
    def of(cls, saved_model: Any, settings: Mapping[str, Any]) -> Encoder:
        """Return the encoder of a loaded SavedModel.

        Args:
          saved_model: as TensorFlow loaded it.
          settings: {node: its settings}, as the version's provenance tells them.

        Raises:
          CannotTell: if its graph has neither layer.
        """
        from pipeline.report.exported_graph import ExportedGraph, encoder

        own = settings.get(AUTOENCODER) or {}
        try:
            if RECONSTRUCT in saved_model.signatures and own.get("build") is None:
                # Those of the encoder: `layers`, and the latent one.
                return cls(layer=LATENT, function=encoder(saved_model, len(own["layers"]) + 1))
            scores = ExportedGraph.of(saved_model).scores
        except (ValueError, KeyError, TypeError) as err:
            raise CannotTell("the served graph has no layer to measure distances in", got=err) from err
        return cls(layer=HIDDEN, function=lambda pixels: scores(pixels)[1])

    def __call__(self, images: UINT8) -> Floats:
        """Return the layer's values, float32 [N, values], for uint8 [N, ...]."""
        import tensorflow as tf

        flat = images.reshape(len(images), -1).astype(np.float32)
        values: Floats = self.function(tf.constant(flat)).numpy()
        return values.reshape(len(flat), -1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Neighbour:
    """A training row near an image.

    Attributes:
      image: uint8 [H, W], as the data are stored.
      label: number of its class.
      distance: to the image, between the values of the encoder's layer.
      proof: that it is among the rows of the train split.
      place: in the data files that were given; None where that cannot be told.
    """

    image: UINT8
    label: int
    distance: float
    proof: RowProof
    place: Place | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        place = None if self.place is None else dataclasses.asdict(self.place)
        return {"label": self.label, "distance": self.distance, "place": place, "proof": self.proof.to_dict()}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRows:
    """All rows of a version's train split, to be searched for those near an image.

    Attributes:
      version: that was trained on them.
      encoder: in whose layer distances are measured.
      values: float32 [N, values] of that layer.
      squares: float32 [N], the sum of squares of each row of `values`.
      images: uint8 [N, pixels], mapped from a file.
      labels: int64 [N].
      index: of the data set, in which rows are proven to be.
      root: Merkle root over the train split, as the served provenance tells it.
      places: of rows in the data files; None where they cannot be told.
      unplaced: why they cannot.
      files: the data files behind the version.
    """

    version: Version
    encoder: Encoder
    values: Floats
    squares: Floats
    images: UINT8
    labels: npt.NDArray[np.int64]
    index: RowIndex
    root: bytes
    places: Places | None
    unplaced: str | None
    files: tuple[DataFile, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def nearest(self, image: UINT8, count: int = COUNT) -> list[Neighbour]:
        """Return the rows nearest to an image, nearest first, each with a proof that holds.

        Args:
          image: uint8 [H, W], as the data are stored.
          count: how many.

        Raises:
          CannotTell: if a row is not proven to be one that the version was trained on.
        """
        (own,) = self.encoder(image[np.newaxis])
        distances = self.squares - 2 * self.values @ own
        some = min(count * _NARROWED, len(self))
        near = np.argpartition(distances, some - 1)[:some]
        exact = np.sqrt(np.square(self.values[near] - own).sum(axis=1))
        chosen = np.argsort(exact, kind="stable")[:count]
        return [self._neighbour(int(near[at]), float(exact[at])) for at in chosen]

    def _neighbour(self, row: int, distance: float) -> Neighbour:
        label = int(self.labels[row])
        picture = Picture.of(np.array(self.images[row]).reshape(self.version.data.shape), label)
        proof = proofs.prove(self.index, picture, TRAIN, self.version.data.label_count)
        if wrong := list(proofs.faults(proof, self.root, picture)):
            raise CannotTell("not proven to be a row that the version was trained on", got="; ".join(wrong))
        if proof.claim != proofs.INCLUDED or label not in proof.rows:
            raise CannotTell("not among the rows that were recorded", where=f"label {label}")
        place = None if self.places is None else self.places.of(picture.row_digest(label))
        return Neighbour(image=picture.values(), label=label, distance=distance, proof=proof, place=place)


def training_rows(root: Path, version: Version, saved_model: Any, scratch: Path, show: Show) -> TrainingRows:
    """Return the rows that a version was trained on, encoded by itself.

    Args:
      root: of the pipeline.
      version: which one.
      saved_model: it, as TensorFlow loaded it.
      scratch: an existing folder; the images go into a file there, which is removed at once and lives on while it is used.
      show: called with the progress.

    Raises:
      CannotTell: if the rows are gone, or are not what was recorded.
    """
    with training_data.rows_behind(version):
        return _training_rows(root, version, saved_model, scratch, show)


def _training_rows(root: Path, version: Version, saved_model: Any, scratch: Path, show: Show) -> TrainingRows:
    number = version.served.version
    show("comparing the rows with their records", 0, 0)
    definition = read_provenance(root, number)["predicate"]["buildDefinition"]
    encoder = Encoder.of(saved_model, definition["externalParameters"]["settings"])
    folder, files = training_data.examples(root, version)
    training_data.require_recorded(folder, files, (f"Split-{TRAIN}/",))
    lineage = open_lineage(root)
    step = usage.data_behind(lineage, number)
    total = int((step.data or {})["splits"][TRAIN]["rows"])
    images, values, labels = _encoded(
        folder, version, encoder, scratch, lambda done: show("encoding rows", done, total)
    )
    index = usage.index_of(lineage, step)
    index.tree(TRAIN)
    found, unplaced = _places(lineage, step, show)
    return TrainingRows(
        version=version,
        encoder=encoder,
        values=values,
        squares=np.square(values).sum(axis=1),
        images=images,
        labels=labels,
        index=index,
        root=_root_of(definition),
        places=found,
        unplaced=unplaced,
        files=trace(lineage, number).data,
    )


def _encoded(
    folder: Path, version: Version, encoder: Encoder, scratch: Path, show: Callable[[int], None]
) -> tuple[UINT8, Floats, npt.NDArray[np.int64]]:
    """Return images, values and labels of the train split, read and encoded a block at a time."""
    file, pixels, done = scratch / f"rows-{uuid.uuid4().hex}", version.data.pixels, 0
    values, labels = [], []
    try:
        with file.open("xb") as sink:
            for block in example_rows.blocks(folder, TRAIN, pixels, _BLOCK):
                sink.write(block.images.tobytes())
                values.append(encoder(block.images))
                labels.append(block.labels)
                done += len(block)
                show(done)
        if not done:
            raise CannotTell("the train split holds no rows", where=folder)
        images: UINT8 = np.memmap(file, np.uint8, "r", shape=(done, pixels))
    finally:
        file.unlink(missing_ok=True)
    return images, np.concatenate(values), np.concatenate(labels)


def _places(lineage: LineageIndex, step: Any, show: Show) -> tuple[Places | None, str | None]:
    try:
        return places(lineage, step, lambda _, done, total: show("finding rows in the data files", done, total)), None
    except MnistTfxError as err:
        return None, str(err)


def _root_of(definition: Mapping[str, Any]) -> bytes:
    """Return the Merkle root over the train split, which the manifest of the served bytes vouches for."""
    wanted = f"rows/{TRAIN}"
    told = {one["digest"][MERKLE] for one in definition["resolvedDependencies"] if one["name"] == wanted}
    if len(told) != 1:
        raise CannotTell("its provenance does not name one set of training rows", wanted=wanted, got=len(told))
    return bytes.fromhex(told.pop())
