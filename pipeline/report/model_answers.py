"""What a report asks of models about rows, answered as arrays in a process that has TensorFlow.

What depends on the models alone is asked once and kept (`asking`), so a run that reuses everything starts no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import io
import os
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.arrays import read_npz
from components.features import ENCODE, IMAGE_XF, RECONSTRUCT, RECONSTRUCT_XF, SERVING_DEFAULT, TEST, TRAIN, VALIDATION
from components.settings import DataSettings
from pipeline.report import example_rows
from pipeline.report.choices import SHOWN_CLASSES, by_error, of_each_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION: Final = 3
"""Of what is asked; another one asks again."""

TEST_ROWS: Final = 10_000
TRAIN_ROWS: Final = 6_000
"""Rows that principal components are fitted to: more change the error in the third digit."""

BATCH: Final = 1024
PER_CLASS: Final = 24
"""Rows of each class whose hidden activations are shown."""

LATENCY: Final = "latency_ms"
CALLS: Final = 30
TOGETHER: Final = 64
"""Calls that the latency is the median of, and images of the second kind of them."""

STEPS: Final = 64
RATE: Final = 0.08
PENALTY: Final = 0.25
"""Of the square of the input, with pixels from 0 to 1, against the class's logit."""

ALL, BUT_LATENCY, LATENCY_ALONE = "all", "all but the latency", "latency"
"""What of it is asked; the latency is asked for apart where the rest is asked beside other work."""

LATER: Final = 10
"""Niceness of an answer that is asked for ahead, nice(2): evaluation and check, which a version waits for, come first."""

FAR: Final = 1e6
"""Less than any logit: takes a class out of the others."""

Arrays = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a run's models.

    Attributes:
      examples: folder of the Examples artifact.
      transform: folder of the transform graph; None if the run has none.
      autoencoder: folder of the autoencoder's SavedModel; None if the run has none.
      classifier: folder of the served SavedModel; None if the run has none.
      data: `DataSettings` as JSON.
      part: what of the answers is wanted: `ALL`, `BUT_LATENCY` or `LATENCY_ALONE`.
    """

    examples: str
    transform: str | None
    autoencoder: str | None
    classifier: str | None
    data: str
    part: str = ALL


def answer(**question: Any) -> bytes:
    """Return the answers to a `Question` as an .npz file; the fork server calls this by name."""
    query = Question(**question)
    if query.part == BUT_LATENCY:
        os.nice(LATER)  # the process is this answer's own
    data = DataSettings.from_json(query.data)
    limit = TOGETHER if query.part == LATENCY_ALONE else TEST_ROWS
    test = example_rows.read(Path(query.examples), TEST, data.pixels, limit)
    answers: Arrays = {}
    if query.part != BUT_LATENCY and len(test) and query.classifier is not None:
        answers[LATENCY] = _latency(query.classifier, test.images)  # first, while nothing else is at work here
    if query.part != LATENCY_ALONE:
        answers |= {"rows": np.array(len(test)), **_of_models(query, test, data)}
    return as_npz(answers)


def as_npz(answers: Arrays) -> bytes:
    """Return answers as the file that they are kept in."""
    file = io.BytesIO()
    np.savez_compressed(file, **answers)
    return file.getvalue()


def _of_models(query: Question, test: example_rows.ImageRows, data: DataSettings) -> Arrays:
    answers: Arrays = {}
    # Side by side: each is many small calls, which leave a second core idle.
    with ThreadPoolExecutor() as beside:
        parts = []
        if len(test) and query.classifier is not None:
            parts.append(beside.submit(_of_classifier, query.classifier, test, data))
        if len(test) and query.autoencoder is not None and query.transform is not None:
            parts.append(beside.submit(_of_autoencoder, query, test, data))
        for part in parts:
            answers |= part.result()
    return answers


def read(file: Path) -> Arrays:
    """Return answers that were kept.

    Raises:
      BadInput: if the file is not there, or holds something else.
    """
    return read_npz(file)


def _of_classifier(folder: str, test: example_rows.ImageRows, data: DataSettings) -> Arrays:
    import tensorflow as tf

    model = tf.saved_model.load(folder)
    ask = model.signatures[SERVING_DEFAULT]
    found: Arrays = {
        "probabilities": _in_batches(lambda rows: ask(images=rows)["probabilities"], test.images),
    }
    if RECONSTRUCT in model.signatures:
        rebuild = model.signatures[RECONSTRUCT]
        found |= _reconstructions(_in_batches(lambda rows: rebuild(images=rows)["images"], test.images), test, data)
    try:
        found |= _inside(model, test, data)
    except (ValueError, tf.errors.OpError) as err:
        warnings.warn(f"report: the served graph cannot be cut open: {err}", stacklevel=1)  # goes to the run's log
    return found


def _latency(folder: str, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the median milliseconds of an answer to one image, and to as many as a full batch has here."""
    import tensorflow as tf

    model = tf.saved_model.load(folder)
    ask, medians = model.signatures[SERVING_DEFAULT], []
    for count in (1, TOGETHER):
        rows, taken = tf.constant(np.resize(images, (count, images.shape[1]))), []
        for _ in range(CALLS):
            began = time.perf_counter()
            ask(images=rows)
            taken.append(time.perf_counter() - began)
        medians.append(1000 * float(np.median(taken[3:])))  # the first ones trace and warm up
    return np.array(medians)


def _reconstructions(images: NDArray[np.float32], test: example_rows.ImageRows, data: DataSettings) -> Arrays:
    errors = np.square((images - test.images) / data.pixel_max).mean(axis=1)
    chosen = by_error(errors, test.labels, data.label_count)
    return {"errors": errors, "chosen": chosen, "reconstructions": images[chosen.clip(0)]}


def _inside(model: Any, test: example_rows.ImageRows, data: DataSettings) -> Arrays:
    """Return hidden activations of some rows of each class, and the inputs that excite each class the most."""
    from pipeline.report.exported_graph import ExportedGraph

    graph = ExportedGraph.of(model)
    shown = of_each_class(test.labels, data.label_count, PER_CLASS)
    _, hidden = graph.scores(_floats(test.images[shown]))
    plain, _, calm, sure = _exciting(graph, data)
    flat = hidden.numpy().reshape(len(shown), -1).astype(np.float16)
    return {"hidden": flat, "hidden_labels": test.labels[shown], "exciting": plain, "exciting_l2": calm, "sure": sure}


def _exciting(graph: Any, data: DataSettings) -> tuple[NDArray[np.float32], ...]:
    """Return the image of each class, 0 to 1, and its probability there; then the same with a penalty.

    Gradient ascent, for as many classes as are shown, on a class's logit less those of all others: its logit alone is
    at times highest where another's is higher still. Steps have a fixed length, as gradients of a saturated network
    vanish; they start from a uniform dark grey. Both kinds climb in one batch: what a step costs is its calls, hardly
    what is in them.
    """
    import tensorflow as tf

    count = min(data.label_count, SHOWN_CLASSES)
    classes = tf.tile(tf.range(count), [2])
    own = tf.one_hot(classes, data.label_count)
    penalty = tf.repeat(tf.constant([0.0, PENALTY]), count)
    images = tf.Variable(tf.fill([2 * count, data.pixels], 0.1))
    for step in range(STEPS):
        with tf.GradientTape() as tape:
            scores, _ = graph.scores(images * float(data.pixel_max))
            ahead = tf.reduce_sum(scores * own, axis=1) - tf.reduce_logsumexp(scores - FAR * own, axis=1)
            goal = ahead - penalty * tf.reduce_sum(tf.square(images), axis=1)
        slope = tape.gradient(goal, images)
        length = tf.reduce_max(tf.abs(slope), axis=1, keepdims=True) + 1e-12
        images.assign(tf.clip_by_value(images + RATE * (1 - step / STEPS) * slope / length, 0.0, 1.0))
    scores, _ = graph.scores(images * float(data.pixel_max))
    sure = tf.gather(tf.nn.softmax(scores), classes, axis=1, batch_dims=1).numpy()
    exciting: NDArray[np.float32] = images.numpy()
    return exciting[:count], sure[:count], exciting[count:], sure[count:]


def _of_autoencoder(query: Question, test: example_rows.ImageRows, data: DataSettings) -> Arrays:
    import tensorflow as tf

    from components.training.input import TransformGraph

    transform = TransformGraph.load(str(query.transform))
    model = tf.saved_model.load(query.autoencoder)
    if ENCODE not in model.signatures:
        return {}  # a network of the user's own: nobody knows where it is narrowest
    parts = {TEST: test} | {
        split: example_rows.read(Path(query.examples), split, data.pixels, TRAIN_ROWS) for split in (TRAIN, VALIDATION)
    }
    scaled = {
        split: _in_batches(lambda rows: transform.scale(tf.cast(rows, tf.int64)), part.images)
        for split, part in parts.items()
    }
    encode, rebuild = model.signatures[ENCODE], model.signatures[RECONSTRUCT_XF]
    codes = _in_batches(lambda rows: next(iter(encode(**{IMAGE_XF: rows}).values())), scaled[TEST])
    rebuilt = _in_batches(lambda rows: rebuild(**{IMAGE_XF: rows})[IMAGE_XF], scaled[TEST])
    places, share = _plane(codes)
    return {
        "places": places,
        "places_share": share,
        "latent": np.array(codes.shape[1]),
        "autoencoder_mse": np.array(np.square(rebuilt - scaled[TEST]).mean()),
        **_principal(scaled, codes.shape[1]),
    }


def _plane(codes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return codes [N, latent] in the plane of their first two principal components, and the variance each explains."""
    centred = codes - codes.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(centred.T).reshape(codes.shape[1], codes.shape[1]))
    first = axes[:, ::-1][:, :2]
    places = np.zeros((len(codes), 2), np.float32)
    places[:, : first.shape[1]] = centred @ first
    share = values[::-1][:2] / max(values.sum(), 1e-12)
    return places, np.pad(share, (0, 2 - len(share)))


def _principal(scaled: Mapping[str, NDArray[np.float32]], latent: int) -> Arrays:
    """Return the reconstruction error of principal components fitted to train, by how many are kept."""
    mean = scaled[TRAIN].mean(axis=0, dtype=np.float64).astype(np.float32)
    away = scaled[TRAIN] - mean
    _, axes = np.linalg.eigh(away.T @ away)
    pixels = len(mean)
    sizes = sorted({size for size in (1, 2, 4, 8, 16, 32, 64, 128, latent) if size <= pixels})
    first = np.ascontiguousarray(axes[:, ::-1][:, : sizes[-1]])
    found: Arrays = {"principal_sizes": np.array(sizes)}
    for split, rows in scaled.items():
        if len(rows):
            away = rows - mean
            held = np.square(away @ first).sum(axis=0, dtype=np.float64)
            # What the components that are kept do not carry is the error, spread over all pixels.
            left = np.maximum(np.square(away).sum(dtype=np.float64) - np.cumsum(held), 0) / away.size
            found[f"principal_{split}"] = left[np.array(sizes) - 1]
    return found


def _in_batches(function: Any, rows: NDArray[Any]) -> NDArray[np.float32]:
    import tensorflow as tf

    parts = [function(tf.constant(rows[start : start + BATCH])).numpy() for start in range(0, len(rows), BATCH)]
    return np.concatenate(parts)


def _floats(images: NDArray[np.uint8]) -> Any:
    import tensorflow as tf

    return tf.constant(images.astype(np.float32))
