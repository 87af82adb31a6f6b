"""The sections of a recipe as frozen, validated values; a stage receives its own section as canonical JSON.

What a node is given here is an execution property, so it is in the cache key and an audit can print it. Nothing has a
default that depends on the machine, and an unknown key is refused with the list of known ones (see
`pipeline.config.recipe`).
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from typing_extensions import Self

from components.digest import canonical_json
from components.errors import EnvironmentProblem
from components.untrusted import parse_json
from components.wording import validated

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
Width = Annotated[int, Field(ge=1, le=65_536)]
"""Units or filters of a layer."""
Side = Annotated[int, Field(ge=1, le=1024)]
"""Pixels in one direction: an image of 1024 by 1024 is four thousand times as large as MNIST's."""
MOST_SEED: Final = (1 << 32) - 1
"""NumPy's generator takes 32 bits, and Keras seeds it too."""
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Distance = Annotated[float, Field(ge=0)]

MOST_PARAMETERS: Final = 1 << 28
"""Weights of a network: with their gradients and Adam's two moments, 4 GiB in 32 bits."""

MOST_VALUES: Final = 1 << 30
"""Outputs of one layer for one batch: 4 GiB in 32 bits."""

Activation = Literal["linear", "relu", "gelu", "tanh", "sigmoid", "elu", "selu", "swish", "softplus"]
Action = Literal["refuse", "warn", "off"]
Export = Literal["keras", "h5", "frozen"]
"""`keras` and `h5` are Keras' own files, `frozen` a graph whose variables are constants, for other languages."""


Strategy = Literal["single", "mirrored", "multiworker"]
MULTIWORKER: Final = "multiworker"
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys, canonical JSON both ways."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what a node is given of the section, as JSON values."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """Return `to_dict` as canonical JSON, from which `from_json` restores it."""
        return canonical_json(self.to_dict()).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Restore a section from `to_json`'s text.

        Raises:
          EnvironmentProblem: if this release does not know such settings.
        """
        return validated(cls, parse_json(text, where=cls.__name__, error=EnvironmentProblem), where=cls.__name__)


class HashSplit(Section):
    """A split by the hash of the pixels, which puts equal images on the same side.

    Attributes:
      validation: share of the training part that becomes validation.
      test: share that becomes test, where the data bring no test part.
    """

    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    test: Fraction = 0.2

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation:g} and test {self.test:g} leave no rows to train on")
        return self


Split = (
    HashSplit
    | Annotated[
        str,
        StringConstraints(pattern=r"^(tail:[1-9][0-9]{0,11}|rows:[1-9][0-9]{0,11},[1-9][0-9]{0,11})$"),
        Field(description="tail:N, rows:A,B"),
    ]
)
"""`HashSplit`, `tail:N` (the last N training rows are validation) or `rows:A,B` (A rows train, the next B test).

With `rows:A,B` the hash of the pixels moves a tenth of the A rows, `HashSplit`'s default share, to validation."""


ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
ClassName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(description="a name of at most 100 characters in one line"),
]


RowDigest = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{64}$"),
    Field(description="64 hex digits, the digest of a row's pixels and label"),
]
MOST_EXCLUDED: Final = 10_000
"""Rows that can be left out by digest: the list goes into the record, the statement and the metadata store, 64 bytes each."""

Statement = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(description="a text of at most 1000 characters in one line"),
]


class DataSettings(Section):
    """What the files hold and how their rows are split.

    Rows are stored with labels from 0 and with upright images, whatever the files have. Everybody is shown the labels of
    the files: `names` has them.

    Attributes:
      shape: image height and width in pixels, once the images are upright.
      pixel_max: the largest value a pixel may have (255 for bytes, 16 for UCI optdigits).
      label_count: number of classes; where names are given, as many as these.
      label: where a CSV row has its label: `auto` (the end column that can be one), `first`, `last`, or a header's name.
      label_offset: the lowest label in the files; labels are label_offset to label_offset + label_count - 1.
      transpose: whether the files have rows and columns of the images swapped, as EMNIST has.
      ignore_columns: columns of a CSV that are neither pixel nor label, by the names in its header.
      class_names: of the classes, in the order of their labels; none makes the labels themselves the names.
      empty_classes: labels, as in the files, of classes that no row may have; none takes those of the reviewed schema.
      split: how rows become train, validation and test: `tail:N` makes the last N training rows validation, `rows:A,B`
        takes A rows for train and validation and the next B for test; a section cuts by the hash of the pixels.
      exclude: digests of rows that no split may have, such as those of a deletion request; `lineage erase-request` writes them.
      source: where the data are from, in words; for the evidence, no stage is given it.
      licence: under which they may be used, in words; likewise.
    """

    shape: Annotated[tuple[Side, Side], Field(description="[height, width]")]
    pixel_max: Annotated[int, Field(ge=1, le=255)]
    label_count: Annotated[int, Field(ge=2, le=1000)] = 10
    label: ColumnName = "auto"
    label_offset: Annotated[int, Field(ge=0, le=60_000)] = 0
    transpose: bool = False
    ignore_columns: Annotated[tuple[ColumnName, ...], Field(max_length=1000)] = ()
    class_names: Annotated[tuple[ClassName, ...], Field(max_length=1000)] = ()
    empty_classes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(max_length=1000)] = ()
    split: Split = HashSplit()
    exclude: Annotated[tuple[RowDigest, ...], Field(max_length=MOST_EXCLUDED)] = ()
    source: Statement | None = None
    licence: Statement | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what ExampleGen is given: what is stated of the data decides nothing, and neither do no exclusions."""
        fields = self.model_dump(mode="json", exclude={"source", "licence"})
        return fields if self.exclude else {name: value for name, value in fields.items() if name != "exclude"}

    @property
    def of_rows(self) -> DataSettings:
        """What later stages are given: to them it makes no difference which rows are not there, or why."""
        return self.model_copy(update={"exclude": ()})

    @field_validator("exclude")
    @classmethod
    def _exclusions_have_one_order(cls, exclude: tuple[str, ...]) -> tuple[str, ...]:
        # They are in the node's key: the same set in another order is the same work.
        return tuple(sorted(set(exclude)))

    @model_validator(mode="before")
    @classmethod
    def _count_the_names(cls, values: Any) -> Any:
        names = values.get("class_names") if isinstance(values, dict) else None
        if not isinstance(names, list | tuple) or not names or "label_count" in values:
            return values
        return {**values, "label_count": len(names)}

    @model_validator(mode="after")
    def _names_are_those_of_the_classes(self) -> Self:
        if self.class_names and len(self.class_names) != self.label_count:
            raise ValueError(f"class_names has {len(self.class_names)} names for label_count {self.label_count}")
        if len(set(self.class_names)) < len(self.class_names):
            twice = next(name for name in self.class_names if self.class_names.count(name) > 1)
            raise ValueError(f"class_names has {twice!r} twice")
        return self

    @model_validator(mode="after")
    def _empty_classes_are_classes(self) -> Self:
        if odd := [label for label in self.empty_classes if not 0 <= label - self.label_offset < self.label_count]:
            raise ValueError(f"empty_classes has {odd[0]}, and labels are {self.label_range}")
        if len(set(self.empty_classes)) > self.label_count - 2:
            raise ValueError("empty_classes leaves fewer than two classes")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What users call the classes, by stored label: `class_names`, or the labels of the files."""
        return self.class_names or tuple(str(label + self.label_offset) for label in range(self.label_count))

    @property
    def empty(self) -> frozenset[int]:
        """The stored labels of the classes that are declared empty."""
        return frozenset(label - self.label_offset for label in self.empty_classes)

    @property
    def label_range(self) -> str:
        """The labels that the files may have, such as `0 to 9`."""
        return f"{self.label_offset} to {self.label_offset + self.label_count - 1}"

    @property
    def file_shape(self) -> tuple[int, int]:
        """Height and width of the images as the files have them."""
        height, width = self.shape
        return (width, height) if self.transpose else (height, width)

    @property
    def pixels(self) -> int:
        """Pixels in one image."""
        return self.shape[0] * self.shape[1]

    @property
    def geometry(self) -> str:
        """The name that schemas go by, such as `28x28-max255-labels10`."""
        return f"{self.shape[0]}x{self.shape[1]}-max{self.pixel_max}-labels{self.label_count}"


class TransformSettings(Section):
    """How pixels are scaled.

    Attributes:
      scaling: `minmax` divides by the known pixel maximum. The others need an analysis of train: `standardise` takes
        each pixel's own mean and deviation, `centre` each pixel's own mean and the one deviation of all.
    """

    scaling: Literal["minmax", "standardise", "centre"] = "minmax"


class OptimizerSettings(Section):
    """An optimiser of Keras, with its learning-rate schedule.

    Attributes:
      name: of the optimiser, as Keras has it.
      learning_rate: the highest of the training.
      schedule: `cosine` decays to zero over the whole training.
      warmup_epochs: of linear rise, before the schedule.
      weight_decay: decoupled from the gradients, as Keras applies it.
      momentum: of `sgd` and `rmsprop`.
      clip_norm: largest norm of all gradients together; null clips nothing.
    """

    name: Literal["adam", "adamw", "adadelta", "adagrad", "sgd", "rmsprop", "nadam"] = "adam"
    learning_rate: Annotated[float, Field(gt=0, le=1000)] = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=1000)] = 0.0
    momentum: Fraction = 0.0
    clip_norm: Annotated[float, Field(gt=0, le=1e9)] | None = None

    @model_validator(mode="after")
    def _momentum_has_an_effect(self) -> Self:
        if self.momentum and self.name not in ("sgd", "rmsprop"):
            raise ValueError(f"momentum is for sgd and rmsprop, not for {self.name}")
        return self


Build = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$", max_length=200),
    Field(description="package.module:function"),
]


class TrainingSettings(Section):
    """What both trainings share.

    Attributes:
      build: a function of your own that builds the network; null builds what the other keys describe.
      optimizer: the optimiser and its schedule.
      batch: rows of a step, of all devices together.
      epochs: passes over the training rows.
      min_steps: of the optimiser; where `epochs` give fewer, there are more epochs, so that a small part of the data
        is trained on for as long as all of it.
      patience: epochs without a better validation loss before training stops; null never stops early.
      noise: standard deviation of Gaussian noise on the scaled input during training.
      seed: of initial weights, shuffling, noise and dropout.
      deterministic: bit-equal training on the same machine, at some cost in speed.
      strategy: one device, all that the process sees, or several processes; the batch is that of all together.
      precision: `mixed_*` compute in 16 bits and keep weights in 32.
      tf32: whether GPUs that can may multiply `float32` with 10 bits of mantissa, in TensorFloat-32.
      jit: whether XLA compiles a step: the gradients and, where there is one device, the update too.
    """

    build: Build | None = None
    optimizer: OptimizerSettings = OptimizerSettings()
    batch: Annotated[int, Field(ge=1, le=1_000_000)] = 128
    epochs: Epochs = 10
    min_steps: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    patience: Epochs | None = None
    noise: Annotated[float, Field(ge=0, le=1000)] = 0.0
    seed: Seed = 0
    deterministic: bool = False
    strategy: Strategy = "single"
    precision: Precision = "float32"
    tf32: bool = True
    jit: bool = False

    @model_validator(mode="after")
    def _strategy_suits_the_precision(self) -> Self:
        # The scale of a float16 loss changes with each replica's own gradients, and they would drift apart.
        if self.precision == "mixed_float16" and self.strategy != "single":
            raise ValueError(
                f"mixed_float16 needs the strategy single, not {self.strategy}; mixed_bfloat16 goes with all"
            )
        return self


class AutoencoderSettings(TrainingSettings):
    """A symmetric dense autoencoder: `layers` down to `latent`, and the same widths in reverse up again.

    Attributes:
      layers: widths of the encoder's layers, from the pixels down.
      latent: width of the bottleneck.
      activation: of `layers`, in both halves.
      latent_activation: of the bottleneck.
      output_activation: of the reconstruction; scaled pixels are from 0 to 1 with `minmax` alone.
      loss: of the reconstruction against the scaled image.
    """

    layers: Annotated[tuple[Width, ...], Field(max_length=100)] = (128,)
    latent: Width = 32
    activation: Activation = "gelu"
    latent_activation: Activation = "linear"
    output_activation: Activation = "sigmoid"
    loss: Literal["mse", "binary_crossentropy"] = "mse"

    @model_validator(mode="after")
    def _loss_suits_the_output(self) -> Self:
        if self.loss == "binary_crossentropy" and self.output_activation != "sigmoid":
            raise ValueError(f"binary_crossentropy needs the output_activation sigmoid, not {self.output_activation}")
        return self


class Convolution(Section):
    """A convolution with square kernels of stride 1, then max pooling and dropout where they are asked for.

    Attributes:
      filters: number of them.
      kernel: height and width in pixels.
      padding: `valid` loses the border, `same` keeps the size.
      activation: null takes the classifier's.
      pool: height and width of the windows of which the maximum is kept; 1 pools nothing.
      dropout: share of the outputs that is zeroed while training.
    """

    filters: Width
    kernel: Side = 3
    padding: Literal["valid", "same"] = "valid"
    activation: Activation | None = None
    pool: Side = 1
    dropout: Fraction = 0.0

    def output_size(self, size: int) -> int:
        """Return how many pixels are left of `size` in one direction; below 1 where there is nothing to look at."""
        return (size if self.padding == "same" else size - self.kernel + 1) // self.pool


class Augmentation(Section):
    """Random moves of the training images, each drawn from both directions; anew for every row of every batch.

    Attributes:
      shift: largest, in pixels.
      rotation: largest, in degrees.
      zoom: largest change of size, as a share of it.
    """

    shift: Annotated[float, Field(ge=0, le=1024)] = 0.0
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    zoom: Fraction = 0.0


class ClassifierSettings(TrainingSettings):
    """A classifier of reconstructions or, where there is no autoencoder, of the scaled images themselves.

    Attributes:
      convolutions: the first layers.
      layers: hidden widths of the dense layers after them; without any of either the classifier is linear.
      activation: of every hidden layer that names none.
      dropout: after each dense layer.
      output_activation: `softmax` gives probabilities; the outputs of `tanh` are fitted to one-hot labels by `mse`.
      loss: `clipped_crossentropy` counts each label's probability and its complement, kept away from 0 and 1.
      label_smoothing: share of each one-hot label that is spread over all classes.
      augmentation: of the training images; null moves nothing.
      retrain: whether, after the choice on validation, the network is trained anew on train and validation together,
        for the number of epochs that was kept.
      exports: further forms in which the trained model is written beside its training's history.
    """

    convolutions: Annotated[tuple[Convolution, ...], Field(max_length=100)] = ()
    layers: Annotated[tuple[Width, ...], Field(max_length=100)] = (128,)
    activation: Activation = "relu"
    dropout: Fraction = 0.0
    output_activation: Literal["softmax", "tanh"] = "softmax"
    loss: Literal["categorical_crossentropy", "clipped_crossentropy", "mse"] = "categorical_crossentropy"
    label_smoothing: Fraction = 0.0
    augmentation: Augmentation | None = None
    retrain: bool = False
    exports: tuple[Export, ...] = ()

    @model_validator(mode="after")
    def _loss_suits_the_output(self) -> Self:
        if self.output_activation == "tanh" and self.loss != "mse":
            raise ValueError(
                f"the output_activation tanh gives no probabilities: it needs the loss mse, not {self.loss}"
            )
        if self.label_smoothing and self.loss != "categorical_crossentropy":
            raise ValueError(f"label_smoothing is for categorical_crossentropy, not for {self.loss}")
        return self

    @field_validator("exports")
    @classmethod
    def _exports_have_one_order(cls, exports: tuple[Export, ...]) -> tuple[Export, ...]:
        # They are in the node's key: the same set in another order is the same training.
        return tuple(sorted(set(exports)))

    @model_validator(mode="after")
    def _exports_can_be_made(self) -> Self:
        if self.output_activation == "tanh" and (kinds := sorted({"keras", "h5"} & set(self.exports))):
            raise ValueError(
                f"no layer of Keras turns outputs of tanh into probabilities: exports {kinds} need softmax"
            )
        return self


class DriftThresholds(Section):
    """Largest allowed distance of a split from the reviewed reference profile (see `components.schema_gate`).

    Null takes the threshold that was calibrated for the geometry and is stored beside its schema.

    Attributes:
      rows: between the means of an image row.
      columns: between the means of an image column.
      pixels: between the means of a pixel.
      classes: between the shares of a class.
    """

    rows: Distance | None = None
    columns: Distance | None = None
    pixels: Distance | None = None
    classes: Distance | None = None


class GateSettings(Section):
    """Policies of the schema gate: each count either stops the run, is shown as a warning, or is not looked at.

    Attributes:
      drift: distance of a split from the reviewed reference.
      skew: distance of two splits from each other.
      conflicts: equal images with different labels.
      leaks: images of the test split that are in train or validation as well.
      duplicates: equal rows within a split.
      thresholds: of drift, in place of the calibrated ones.
    """

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


SHARED: Final = ("seed", "deterministic", "strategy", "precision", "tf32", "jit")


class Settings(Section):
    """All sections of one resolved recipe, profile and overrides applied.

    Attributes:
      version: of this format.
      name: of the pipeline; one root holds one.
      seed: default of both trainings' own.
      deterministic: default of both trainings' own.
      strategy: default of both trainings' own.
      precision: default of both trainings' own.
      tf32: default of both trainings' own.
      jit: default of both trainings' own.
      data: what the files hold.
      transform: how pixels are scaled.
      autoencoder: the first network; where it is null, the graph has no such node, and the classifier sees the scaled
        images.
      classifier: the second network.
      gates: what stops a run before anything is trained.
      evaluation: what a model has to reach.
    """

    version: Literal[1] = 1
    name: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$"),
        Field(description="a name of at most 41 lower case letters, digits and -, a letter first"),
    ]
    seed: Seed = 0
    deterministic: bool = False
    strategy: Strategy = "single"
    precision: Precision = "float32"
    tf32: bool = True
    jit: bool = False
    data: DataSettings
    transform: TransformSettings = TransformSettings()
    autoencoder: AutoencoderSettings | None
    classifier: ClassifierSettings
    gates: GateSettings = GateSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @property
    def multiworker(self) -> bool:
        """Return whether a training is to be shared by several processes."""
        trainings: tuple[TrainingSettings | None, ...] = (self.autoencoder, self.classifier)
        return any(training is not None and training.strategy == MULTIWORKER for training in trainings)

    @model_validator(mode="before")
    @classmethod
    def _spread_seed(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        shared = {key: values[key] for key in SHARED if key in values}
        trainings = {
            key: {**shared, **values[key]} for key in ("autoencoder", "classifier") if isinstance(values.get(key), dict)
        }
        return {**values, **trainings}

    @model_validator(mode="after")
    def _output_reaches_the_scaled_pixels(self) -> Self:
        # Pixels that were divided by a deviation have no bounds; any activation but the identity cannot reach them all.
        if self.autoencoder is None or self.transform.scaling == "minmax":
            return self
        if (output := self.autoencoder.output_activation) != "linear":
            scaling = self.transform.scaling
            raise ValueError(f"scaling {scaling} needs autoencoder.output_activation linear, not {output}")
        return self

    @model_validator(mode="after")
    def _reconstructions_need_an_autoencoder(self) -> Self:
        if self.autoencoder is None and self.evaluation.reconstruction_mse is not None:
            raise ValueError("evaluation.reconstruction_mse needs an autoencoder; without one it has to be null")
        return self

    @model_validator(mode="after")
    def _an_own_autoencoder_has_no_layers_to_export(self) -> Self:
        kinds = sorted({"keras", "h5"} & set(self.classifier.exports))
        if kinds and self.autoencoder is not None and self.autoencoder.build is not None:
            raise ValueError(f"classifier.exports {kinds} need an autoencoder of this project's, not autoencoder.build")
        return self

    @model_validator(mode="after")
    def _augmentation_moves_black_in(self) -> Self:
        # What is moved in at the border is 0, which is black only there; and a mean image would be moved along.
        if self.classifier.augmentation is not None and self.transform.scaling != "minmax":
            raise ValueError(f"classifier.augmentation needs transform.scaling minmax, not {self.transform.scaling}")
        return self

    @model_validator(mode="after")
    def _convolutions_leave_something(self) -> Self:
        if self.classifier.build is not None:
            return self  # what the function makes of them is its own
        for size in self.data.shape:
            left = size
            for number, convolution in enumerate(self.classifier.convolutions, start=1):
                left = convolution.output_size(left)
                if left < 1:
                    raise ValueError(f"classifier.convolutions: nothing is left of {size} pixels after number {number}")
        return self

    @model_validator(mode="after")
    def _networks_fit_into_memory(self) -> Self:
        if self.autoencoder is not None and self.autoencoder.build is None:
            half = [self.data.pixels, *self.autoencoder.layers, self.autoencoder.latent]
            _require_memory("autoencoder", _dense([*half, *reversed(half[:-1])]), self.autoencoder.batch)
        if self.classifier.build is not None:
            return self  # it is counted once it is built
        sizes, flat = self._convolved()
        dense = _dense([flat, *self.classifier.layers, self.data.label_count])
        _require_memory("classifier", [*sizes, *dense], self.classifier.batch)
        return self

    def _convolved(self) -> tuple[list[tuple[int, int]], int]:
        """Return (weights, outputs) of each convolution, and how many values are left for the dense layers."""
        height, width, depth = *self.data.shape, 1
        sizes = []
        for convolution in self.classifier.convolutions:
            weights = (convolution.kernel**2 * depth + 1) * convolution.filters
            sizes.append((weights, height * width * convolution.filters))
            height, width = convolution.output_size(height), convolution.output_size(width)
            depth = convolution.filters
        return sizes, height * width * depth


def _dense(widths: list[int]) -> list[tuple[int, int]]:
    """Return (weights, outputs) of each dense layer between these widths."""
    return [((before + 1) * after, after) for before, after in itertools.pairwise(widths)]


def _require_memory(network: str, layers: list[tuple[int, int]], batch: int) -> None:
    """Refuse a network that no ordinary machine has the memory for: it would be killed in the middle of a run."""
    if (weights := sum(weights for weights, _ in layers)) > MOST_PARAMETERS:
        raise ValueError(f"{network} has {weights:,} weights, more than {MOST_PARAMETERS:,}: make its layers smaller")
    if (values := batch * max(outputs for _, outputs in layers)) > MOST_VALUES:
        raise ValueError(
            f"a layer of the {network} has {values:,} outputs for a batch, more than {MOST_VALUES:,}: "
            "make the batch or the layer smaller"
        )


def parse_split(split: str) -> tuple[str, tuple[int, ...]]:
    """Split `tail:10000` into ("tail", (10000,)) and `rows:7500,2500` into ("rows", (7500, 2500))."""
    kind, _, numbers = split.partition(":")
    return kind, tuple(int(number) for number in numbers.split(","))
