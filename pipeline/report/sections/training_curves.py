"""Training curves, epoch by epoch, beside what principal components reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from components.features import TEST, VALIDATION
from pipeline.report import charts
from pipeline.report.model_answers import Arrays
from pipeline.report.picture import Picture
from pipeline.report.run_data import NotThereError, RunData
from pipeline.stages import AUTOENCODER, TRAINERS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """One training; `absent` says why there is none."""

    node: str
    facts: tuple[tuple[str, str], ...] = ()
    curves: tuple[Picture, ...] = ()
    absent: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingCurves:
    """Both trainings, and the errors of principal components by how many are kept."""

    trained: tuple[Trained, ...]
    principal: Picture | None


def training_curves(evidence: RunData, answers: Arrays) -> TrainingCurves:
    """Return the trainings of a run.

    Raises:
      NotThereError: if nothing was trained.
    """
    trained = tuple(_trained(evidence, node, answers) for node in TRAINERS)
    if all(one.absent for one in trained):
        raise NotThereError("; ".join(one.absent for one in trained))
    return TrainingCurves(trained=trained, principal=_principal(answers))


def _trained(evidence: RunData, node: str, answers: Arrays) -> Trained:
    try:
        training = evidence.read_json(node, "model_run", "training.json")
    except NotThereError as err:
        return Trained(node=node, absent=str(err))
    history = training["history"]
    curves = [_loss(node, training, answers)]
    if all("val_accuracy" in epoch["metrics"] for epoch in history):
        curves.append(_accuracy(history))
    return Trained(node=node, facts=_facts(training), curves=tuple(curves))


def _facts(training: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    resumed = training.get("resumed_from_epoch")
    return (
        ("epochs", f"{training['epochs_run']}, weights of epoch {training['kept_epoch']}"),
        ("time", f"{training['seconds']:.1f} s on {training['device']}"),
        ("started", "from nothing" if resumed is None else f"from the checkpoint of epoch {resumed}"),
    )


def _loss(node: str, training: Mapping[str, Any], answers: Arrays) -> Picture:
    history, name = training["history"], training["settings"].get("loss", "loss")
    figure, axes = charts.chart()
    numbers = [epoch["number"] for epoch in history]
    for key, label, colour in (("loss", "train", charts.FIRST), ("val_loss", "validation", charts.SECOND)):
        axes.plot(numbers, [epoch[key] for epoch in history], color=colour, label=label, marker=_marker(numbers))
    best = min(history, key=lambda epoch: epoch["val_loss"])
    text = (
        f"Loss ({name.replace('_', ' ')}) of the {node.lower()} over {len(history)} epochs: on validation from "
        f"{history[0]['val_loss']:.4f} to {history[-1]['val_loss']:.4f}, least {best['val_loss']:.4f} in epoch "
        f"{best['number']}; on train {history[-1]['loss']:.4f} in the end"
    )
    if node == AUTOENCODER and name == "mse" and f"principal_{VALIDATION}" in answers:
        latent = int(answers["latent"])
        level = float(answers[f"principal_{VALIDATION}"][list(answers["principal_sizes"]).index(latent)])
        axes.axhline(level, color=charts.SOFT, linestyle=(0, (4, 3)), linewidth=1.2, label=f"PCA, {latent} components")
        text += f". {latent} principal components leave {level:.4f} on validation"
    charts.log_axis(axes.yaxis, [epoch[key] for epoch in history for key in ("loss", "val_loss")])
    charts.whole_numbers(axes.xaxis)
    axes.set(xlabel="epoch", ylabel=name.replace("_", " "))
    axes.legend()
    return charts.drawn(figure, f"{text}.")


def _accuracy(history: list[dict[str, Any]]) -> Picture:
    figure, axes = charts.chart()
    numbers = [epoch["number"] for epoch in history]
    values = [epoch["metrics"]["val_accuracy"] for epoch in history]
    axes.plot(numbers, values, color=charts.SECOND, marker=_marker(numbers))
    charts.whole_numbers(axes.xaxis)
    axes.set(xlabel="epoch", ylabel="accuracy on validation")
    best = int(np.argmax(values))
    text = f"Accuracy on validation: {values[0]:.4f} after epoch {numbers[0]}, {values[-1]:.4f} in the end, "
    return charts.drawn(figure, f"{text}most {values[best]:.4f} in epoch {numbers[best]}.")


def _marker(numbers: list[int]) -> str:
    return "o" if len(numbers) == 1 else ""


def _principal(answers: Arrays) -> Picture | None:
    if f"principal_{TEST}" not in answers:
        return None
    sizes, errors = answers["principal_sizes"], answers[f"principal_{TEST}"]
    latent, reached = int(answers["latent"]), float(answers["autoencoder_mse"])
    kept = errors > 1e-9  # all components leave nothing, which a logarithm cannot show
    figure, axes = charts.chart()
    axes.plot(sizes[kept], errors[kept], color=charts.SOFT, marker="o", markersize=4, label="principal components")
    axes.plot([latent], [reached], color=charts.FIRST, marker="D", markersize=7, linestyle="", label="autoencoder")
    charts.log_axis(axes.yaxis, [*errors[kept].tolist(), reached])
    charts.log_axis(axes.xaxis, sizes.tolist())
    axes.set_xticks(sizes[kept], [str(size) for size in sizes[kept]])
    axes.set(xlabel="numbers kept of an image", ylabel="reconstruction MSE on test")
    axes.legend()
    level = float(errors[list(sizes).index(latent)])
    text = f"Reconstruction error on test with {latent} numbers to an image: autoencoder {reached:.5f}, "
    return charts.drawn(
        figure, f"{text}principal components {level:.5f}, {level / max(reached, 1e-12):.2f} times as much."
    )
