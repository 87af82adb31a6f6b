"""The sections of a recipe as frozen, validated values; a stage receives its own section as canonical JSON.

What a node is given here is an execution property, so it is in the cache key and an audit can print it. Nothing has a
default that depends on the machine, and an unknown key is refused with the list of known ones (see
`pipeline.recipes`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import Self

from components.digest import canonical_json

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Activation = Literal["linear", "relu", "gelu", "tanh", "sigmoid", "elu", "selu", "swish", "softplus"]
Action = Literal["refuse", "warn", "off"]


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys, canonical JSON both ways."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_json(self) -> str:
        """Returns the section as canonical JSON; `from_json` restores an equal value."""
        return canonical_json(self.model_dump(mode="json")).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Restores a section from `to_json`'s text."""
        return cls.model_validate_json(text)


class HashSplit(Section):
    """Shares of the training part that the hash of the pixels moves to validation, and to test where none is official."""

    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    test: Fraction = 0.2

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation:g} and test {self.test:g} leave no rows to train on")
        return self


Split = HashSplit | Annotated[str, StringConstraints(pattern=r"^(tail:[1-9]\d*|rows:[1-9]\d*,[1-9]\d*)$")]
"""`HashSplit`, `tail:N` (the last N training rows are validation) or `rows:A,B` (A rows train, the next B test).

With `rows:A,B` the hash of the pixels moves a tenth of the A rows, `HashSplit`'s default share, to validation."""


class DataSettings(Section):
    """What the files hold and how their rows are split.

    Attributes:
      shape: image height and width in pixels.
      pixel_max: the largest value a pixel may have (255 for bytes, 16 for UCI optdigits).
      label_count: number of classes; labels are 0 to label_count - 1.
      label: where a CSV row has its label: `auto` (the end column that can be one), `first`, `last`, or a header's name.
      split: how rows become train, validation and test.
    """

    shape: tuple[Count, Count]
    pixel_max: Annotated[int, Field(ge=1, le=255)]
    label_count: Annotated[int, Field(ge=2, le=1000)] = 10
    label: str = "auto"
    split: Split = HashSplit()

    @property
    def pixels(self) -> int:
        """Pixels in one image."""
        return self.shape[0] * self.shape[1]

    @property
    def geometry(self) -> str:
        """The name that schemas go by, such as `28x28-max255-labels10`."""
        return f"{self.shape[0]}x{self.shape[1]}-max{self.pixel_max}-labels{self.label_count}"


class TransformSettings(Section):
    """`minmax` divides by the known pixel maximum; `standardise` takes mean and deviation from an analysis of train."""

    scaling: Literal["minmax", "standardise"] = "minmax"


class OptimizerSettings(Section):
    """An optimiser by its Keras name, with its learning-rate schedule.

    `cosine` decays to zero over the whole training; `warmup_epochs` of linear rise come first.
    """

    name: Literal["adam", "adamw", "adadelta", "adagrad", "sgd", "rmsprop", "nadam"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    momentum: Fraction = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _momentum_has_an_effect(self) -> Self:
        if self.momentum and self.name not in ("sgd", "rmsprop"):
            raise ValueError(f"momentum is for sgd and rmsprop, not for {self.name}")
        return self


class TrainingSettings(Section):
    """What both trainings share.

    Attributes:
      min_steps: of the optimiser; where `epochs` give fewer, there are more epochs, so that a small part of the data
        is trained on for as long as all of it.
      patience: epochs without a better validation loss before training stops; null never stops early.
      noise: standard deviation of Gaussian noise on the scaled input during training.
      seed: of initial weights, shuffling, noise and dropout.
      deterministic: bit-equal training on the same machine, at some cost in speed.
    """

    optimizer: OptimizerSettings = OptimizerSettings()
    batch: Count = 128
    epochs: Count = 10
    min_steps: Annotated[int, Field(ge=0)] = 0
    patience: Count | None = None
    noise: Annotated[float, Field(ge=0)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 0
    deterministic: bool = False


class AutoencoderSettings(TrainingSettings):
    """A symmetric dense autoencoder: `layers` down to `latent`, and the same widths in reverse up again."""

    layers: tuple[Count, ...] = (128,)
    latent: Count = 32
    activation: Activation = "gelu"
    latent_activation: Activation = "linear"
    output_activation: Activation = "sigmoid"
    loss: Literal["mse", "binary_crossentropy"] = "mse"

    @model_validator(mode="after")
    def _loss_suits_the_output(self) -> Self:
        if self.loss == "binary_crossentropy" and self.output_activation != "sigmoid":
            raise ValueError(f"binary_crossentropy needs the output_activation sigmoid, not {self.output_activation}")
        return self


class ClassifierSettings(TrainingSettings):
    """A dense classifier on reconstructions, with `layers` hidden widths and a softmax over the labels."""

    layers: tuple[Count, ...] = (128,)
    activation: Activation = "relu"
    dropout: Fraction = 0.0
    loss: Literal["categorical_crossentropy", "mse"] = "categorical_crossentropy"
    label_smoothing: Fraction = 0.0


class DriftThresholds(Section):
    """Largest allowed distance of a split from the reviewed reference profile (see `components.schema_gate`).

    Null takes the threshold that was calibrated for the geometry and is stored beside its schema.
    """

    rows: float | None = None
    columns: float | None = None
    pixels: float | None = None
    classes: float | None = None


class GateSettings(Section):
    """Policies of the schema gate: each count either stops the run, is shown as a warning, or is not looked at."""

    drift: Action = "refuse"
    skew: Action = "refuse"
    conflicts: Action = "refuse"
    leaks: Action = "refuse"
    duplicates: Action = "warn"
    thresholds: DriftThresholds = DriftThresholds()


class EvaluationSettings(Section):
    """Floors and ceilings on the test split, and how much worse than the baseline a model may be.

    Attributes:
      accuracy: lowest test accuracy.
      class_accuracy: lowest accuracy of any one class.
      loss: highest test cross entropy (natural logarithm).
      reconstruction_mse: highest mean squared error of reconstructions, on the scaled images.
      baseline_margin: how far below the served model's accuracy the candidate may be.
    """

    accuracy: Fraction = 0.9
    class_accuracy: Fraction = 0.5
    loss: Annotated[float, Field(gt=0)] | None = None
    reconstruction_mse: Annotated[float, Field(gt=0)] | None = None
    baseline_margin: Fraction = 0.01


class Settings(Section):
    """All sections of one resolved recipe, profile and overrides applied.

    `seed` and `deterministic` at the top are the default of both trainings' own.
    """

    version: Literal[1] = 1
    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
    seed: Annotated[int, Field(ge=0)] = 0
    deterministic: bool = False
    data: DataSettings
    transform: TransformSettings = TransformSettings()
    autoencoder: AutoencoderSettings
    classifier: ClassifierSettings
    gates: GateSettings = GateSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="before")
    @classmethod
    def _spread_seed(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        shared = {key: values[key] for key in ("seed", "deterministic") if key in values}
        trainings = {
            key: {**shared, **values[key]} for key in ("autoencoder", "classifier") if isinstance(values.get(key), dict)
        }
        return {**values, **trainings}

    @model_validator(mode="after")
    def _output_reaches_the_scaled_pixels(self) -> Self:
        # Standardised pixels have no bounds; any activation but the identity leaves a part of them out of reach.
        output = self.autoencoder.output_activation
        if self.transform.scaling == "standardise" and output != "linear":
            raise ValueError(f"scaling standardise needs autoencoder.output_activation linear, not {output}")
        return self


def parse_split(split: str) -> tuple[str, tuple[int, ...]]:
    """Splits `tail:10000` into ("tail", (10000,)) and `rows:7500,2500` into ("rows", (7500, 2500))."""
    kind, _, numbers = split.partition(":")
    return kind, tuple(int(number) for number in numbers.split(","))
