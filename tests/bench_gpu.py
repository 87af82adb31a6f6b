"""Training on this machine's GPU against its CPU: `make bench-gpu`, at most ten minutes, the recipe `mnist` first.

Each line is a process of its own that trains a recipe's networks by the same functions as the Trainers do, on the first
GPU or on the CPU. Without a GPU that computes, or without MNIST, it says so in one line. It needs neither a network nor TFX.
`--tiny` runs lines on the CPU with a few rows of noise, to see that all of it works before a GPU's time is spent on it.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from components.settings import Settings
from components.training.device import VISIBLE, cuda_environment
from components.training.process import DEVICE, TRAINER_ENVIRONMENT
from pipeline.config.recipe import load_recipe
from pipeline.runner import devices

PROJECT: Final = Path(__file__).resolve().parents[1]
MNIST: Final = PROJECT.parent / "shared" / "data" / "mnist"
LIMIT_S: Final = 600
"""For all lines together; a line that would go beyond it is ended."""

RECIPES: Final = {"mnist": 0.98, "cnn": 0.995}
"""With the accuracy on validation that is waited for."""

VALIDATION: Final = 5_000
TINY_ROWS: Final = 600
UTILISATION: Final = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=250")


@dataclass(frozen=True)
class Variant:
    """How a recipe is trained.

    Attributes:
      name: of its lines.
      gpu: whether on the GPU.
      overrides: of the recipe.
    """

    name: str
    gpu: bool = True
    overrides: tuple[str, ...] = ()


VARIANTS: Final = (
    Variant("float32"),
    Variant("XLA", overrides=("jit=true",)),
    Variant("mixed", overrides=("precision=mixed_bfloat16",)),
    Variant("mixed-XLA", overrides=("precision=mixed_bfloat16", "jit=true")),
    Variant("CPU", gpu=False),
)


def main() -> None:
    """Run the lines that are asked for, and print a table as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--variants", nargs="+", choices=[one.name for one in VARIANTS])
    parser.add_argument("--tiny", action="store_true", help="on the CPU, with a few rows of noise")
    parser.add_argument("--line", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.line is not None:
        print(json.dumps(train(*options.line, tiny=options.tiny)))  # noqa: T201  # for the process that asked
        return
    console = Console(width=120)
    if (missing := None if options.tiny else lacking()) is not None:
        console.print(f"bench-gpu is skipped: {missing}", soft_wrap=True)
        return
    variants = [one for one in VARIANTS if options.variants is None or one.name in options.variants]
    console.print(drawn(measured(options.recipes, variants, tiny=options.tiny)))


def lacking() -> str | None:
    """Return what is not there that the lines need; None where all of it is."""
    if not MNIST.is_dir():
        return f"MNIST is not in {MNIST}"
    found = devices.look()
    return None if found.gpus else str(found)


def measured(recipes: list[str], variants: list[Variant], *, tiny: bool) -> list[dict[str, Any]]:
    """Return a line for each recipe and variant: what the process printed, or `failed` with why it did not."""
    ends = time.monotonic() + LIMIT_S
    return [
        {"recipe": recipe, "variant": variant.name, **line(recipe, variant, ends - time.monotonic(), tiny=tiny)}
        for recipe in recipes
        for variant in variants
    ]


def line(recipe: str, variant: Variant, limit_s: float, *, tiny: bool) -> dict[str, Any]:
    """Train in a process of its own, for at most so long."""
    if limit_s <= 0:
        return {"failed": "the time was up"}
    on_gpu = variant.gpu and not tiny
    env = {**os.environ, **TRAINER_ENVIRONMENT, **cuda_environment(os.environ), "TF_CPP_MIN_LOG_LEVEL": "2"}
    env |= {DEVICE: "gpu"} if on_gpu else {DEVICE: "cpu", VISIBLE: "-1"}
    command = [sys.executable, __file__, "--line", recipe, variant.name, *(["--tiny"] if tiny else [])]
    with utilisation(on_gpu) as samples:
        try:
            done = subprocess.run(
                command, env=env, cwd=PROJECT, capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return {"failed": "the time was up"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    within = [busy for at, busy in samples if any(start <= at <= stop for start, stop in found["spans"])]
    return {**found, "busy": statistics.mean(within) if within else None}


@contextlib.contextmanager
def utilisation(wanted: bool) -> Iterator[list[tuple[float, float]]]:
    """Sample the GPU four times a second for the duration: (time since the epoch, per cent); none without nvidia-smi."""
    samples: list[tuple[float, float]] = []
    process = None
    if wanted:
        with contextlib.suppress(OSError):
            process = subprocess.Popen(UTILISATION, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if process is None:
        yield samples
        return

    def read() -> None:
        # Of several cards, whichever; `[N/A]` where it cannot say.
        samples.extend((time.time(), float(text)) for text in process.stdout or () if text.strip().isdecimal())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield samples
    finally:
        process.kill()
        process.wait()
        reader.join()


def train(recipe: str, variant: str, *, tiny: bool) -> dict[str, Any]:
    """Train a recipe's networks in this process, the classifier on the autoencoder's reconstructions where there is one.

    Returns:
      `rows` of train, `device`, `seconds` of all epochs, `images_s` of the epochs after the first, `start_s` until the
      first fit, `reached_s` of the classifier's epochs up to the accuracy, `accuracy` of its best, and `spans` of the
      fits, seconds since the epoch.
    """
    began = time.time()
    [how] = [one for one in VARIANTS if one.name == variant]
    few = ["classifier.epochs=2", "classifier.min_steps=0"] if tiny else []
    few += ["autoencoder.epochs=2", "autoencoder.min_steps=0"] if tiny and recipe == "mnist" else []
    settings = load_recipe(recipe, overrides=[*how.overrides, *few])
    return _trained(settings, RECIPES[recipe], began, *(noise() if tiny else mnist()))


def _trained(settings: Settings, goal: float, began: float, images: Any, labels: Any) -> dict[str, Any]:
    import keras
    import tensorflow as tf

    from components.autoencoder.model import build_autoencoder
    from components.classifier.losses import build_loss, is_right
    from components.classifier.model import build_classifier
    from components.training.checkpoint import Checkpoint
    from components.training.fit import fit, seed_everything
    from components.training.placement import place
    from components.training.resident import ResidentPairs
    from components.training.task import Pairs, Task

    placement = place(settings.classifier)
    spans, fits = [], []

    def fitted(task: Task, how: Any) -> Any:
        spans.append([time.time(), 0.0])
        with tempfile.TemporaryDirectory(prefix="mnist-tfx-bench-") as folder:
            fits.append(fit(task, how, checkpoint=Checkpoint(None), log_folder=folder))
        spans[-1][1] = time.time()
        return fits[-1]

    def scaled(rows: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(rows, tf.float32) / settings.data.pixel_max, tf.one_hot(targets, settings.data.label_count)

    held = min(VALIDATION, len(images) // 6)
    parts: list[Pairs] = [
        ResidentPairs.on_device(tf.constant(images[rows]), tf.constant(labels[rows])).map(scaled)
        for rows in (slice(None, -held), slice(-held, None))
    ]
    if settings.autoencoder is not None:
        seed_everything(settings.autoencoder)
        whole = build_autoencoder(settings.autoencoder, settings.data).whole
        again = [part.map(lambda rows, _: (rows, rows)) for part in parts]
        fitted(Task("autoencoder", whole, keras.losses.MeanSquaredError(reduction=None), *again), settings.autoencoder)
        parts = [
            part.map(lambda rows, targets: (tf.cast(whole(rows), tf.float32), targets)).materialised() for part in parts
        ]
    seed_everything(settings.classifier)
    network = build_classifier(settings.classifier, settings.data)
    loss = build_loss(settings.classifier)
    last = fitted(Task("classifier", network, loss, *parts, {"val_accuracy": is_right}), settings.classifier)
    later = [epoch.seconds for one in fits for epoch in one.epochs[1:]]
    accuracies = [epoch.metrics["val_accuracy"] for epoch in last.epochs]
    reached = next((number for number, accuracy in enumerate(accuracies, 1) if accuracy >= goal), None)
    return {
        "rows": len(parts[0]),
        "device": placement.facts()["device"],
        "start_s": spans[0][0] - began,
        "seconds": sum(epoch.seconds for one in fits for epoch in one.epochs),
        "images_s": len(parts[0]) * len(later) / sum(later),
        "goal": goal,
        "reached_s": None if reached is None else sum(epoch.seconds for epoch in last.epochs[:reached]),
        "accuracy": max(accuracies),
        "spans": spans,
    }


def mnist() -> tuple[Any, Any]:
    """Return MNIST's training part: images uint8 [60000, 784] and labels int64 [60000]."""
    parts = [
        gzip.decompress((MNIST / f"train-{kind}-ubyte.gz").read_bytes()) for kind in ("images-idx3", "labels-idx1")
    ]
    images, labels = (np.frombuffer(part, np.uint8)[header:] for part, header in zip(parts, (16, 8), strict=True))
    return images.reshape(len(labels), -1), labels.astype(np.int64)


def noise() -> tuple[Any, Any]:
    """Return a few rows in MNIST's form."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (TINY_ROWS, 784), np.uint8), rng.integers(0, 10, TINY_ROWS)


def drawn(lines: list[dict[str, Any]]) -> Table:
    """Return the table of all lines."""
    table = Table("recipe", "how", "start, s", "training, s", "images/s", "accuracy", "reached, s", "busy", "on")
    for one in lines:
        if "failed" in one:
            table.add_row(one["recipe"], one["variant"], *[""] * 6, one["failed"])
            continue
        reached = "never" if one["reached_s"] is None else f"{one['reached_s']:.1f}"
        table.add_row(
            one["recipe"],
            one["variant"],
            f"{one['start_s']:.1f}",
            f"{one['seconds']:.1f}",
            f"{one['images_s']:,.0f}",
            f"{one['accuracy']:.4f}",
            f"{one['goal']:g}: {reached}",
            "" if one["busy"] is None else f"{one['busy']:.0f} %",
            one["device"],
        )
    return table


if __name__ == "__main__":
    main()
