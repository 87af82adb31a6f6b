"""Values of recipe sections that no run could use are refused with the reason."""

import pytest
from pydantic import ValidationError

from components.settings import (
    MOST_SEED,
    ClassifierSettings,
    Convolution,
    DataSettings,
    HashSplit,
    Settings,
    TrainingSettings,
    parse_split,
)


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        pytest.param(0.0, 0.2, "greater than 0", id="no validation"),
        pytest.param(0.5, 0.5, r"validation 0.5 and test 0.5 leave no rows to train on", id="nothing left"),
        pytest.param(0.9, 0.3, r"validation 0.9 and test 0.3 leave no rows to train on", id="more than all"),
        pytest.param(1.0, 0.0, "less than 1", id="validation alone"),
        pytest.param(0.1, -0.1, "greater than or equal to 0", id="less than nothing"),
    ],
)
def test_shares_that_leave_a_split_empty_are_refused(validation, test, message):
    with pytest.raises(ValidationError, match=message):
        DataSettings(shape=(2, 2), pixel_max=1, split={"validation": validation, "test": test})


def test_shares_may_leave_a_sliver_to_train_on():
    assert HashSplit(validation=0.5, test=0.49).validation == 0.5
    assert HashSplit(validation=0.999, test=0.0).test == 0.0


@pytest.mark.parametrize(
    ("text", "parsed"), [("tail:10000", ("tail", (10_000,))), ("rows:7500,2500", ("rows", (7_500, 2_500)))]
)
def test_a_split_by_number_is_parsed(text, parsed):
    assert parse_split(text) == parsed
    assert DataSettings(shape=(2, 2), pixel_max=1, split=text).split == text


@pytest.mark.parametrize("text", ["tail:0", "rows:5", "rows:5,0", "head:5", "tail:5,5"])
def test_a_split_that_says_nothing_usable_is_refused(text):
    with pytest.raises(ValidationError):
        DataSettings(shape=(2, 2), pixel_max=1, split=text)


RECIPE = {"name": "x", "data": {"shape": (8, 8), "pixel_max": 16}, "autoencoder": None, "classifier": {}}


def test_a_recipe_says_whether_it_has_an_autoencoder():
    assert Settings.model_validate(RECIPE).autoencoder is None
    with pytest.raises(ValidationError, match="autoencoder"):
        Settings.model_validate({key: value for key, value in RECIPE.items() if key != "autoencoder"})


def test_settings_without_an_autoencoder_survive_their_json():
    settings = Settings.model_validate({**RECIPE, "seed": 3})
    assert Settings.from_json(settings.to_json()) == settings
    assert settings.classifier.seed == 3


@pytest.mark.parametrize("scaling", ["standardise", "centre"])
def test_images_are_moved_only_where_black_is_zero(scaling):
    moved = {**RECIPE, "classifier": {"augmentation": {"shift": 1}}}
    assert Settings.model_validate(moved).classifier.augmentation.shift == 1
    with pytest.raises(ValidationError, match=f"needs transform.scaling minmax, not {scaling}"):
        Settings.model_validate({**moved, "transform": {"scaling": scaling}})


@pytest.mark.parametrize(
    ("convolution", "left"),
    [
        ({"kernel": 3}, 6),
        ({"kernel": 3, "padding": "same"}, 8),
        ({"kernel": 3, "padding": "same", "pool": 3}, 2),
        ({"kernel": 9}, 0),
        ({"kernel": 7, "pool": 3}, 0),
    ],
)
def test_a_convolution_knows_what_it_leaves_of_an_image(convolution, left):
    assert Convolution(filters=1, **convolution).output_size(8) == left


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_outputs_of_tanh_have_no_file_of_keras(kind):
    with pytest.raises(ValidationError, match="need softmax"):
        ClassifierSettings(output_activation="tanh", loss="mse", exports=(kind,))
    assert ClassifierSettings(output_activation="tanh", loss="mse", exports=("frozen",)).exports == ("frozen",)


def test_labels_are_smoothed_for_the_plain_cross_entropy_alone():
    with pytest.raises(ValidationError, match="label_smoothing is for categorical_crossentropy"):
        ClassifierSettings(loss="clipped_crossentropy", label_smoothing=0.1)


@pytest.mark.parametrize("name", ["strategy", "precision", "tf32", "jit"])
def test_what_both_trainings_run_on_is_said_once(name):
    value = {"strategy": "mirrored", "precision": "mixed_bfloat16", "tf32": False, "jit": True}[name]
    recipe = {"name": "x", "data": {"shape": [2, 2], "pixel_max": 1}, "autoencoder": {}, "classifier": {}}
    both = Settings.model_validate({**recipe, name: value})
    assert [getattr(training, name) for training in (both.autoencoder, both.classifier)] == [value, value]


@pytest.mark.parametrize("strategy", ["mirrored", "multiworker"])
def test_float16_goes_with_one_device_alone(strategy):
    with pytest.raises(ValidationError, match="mixed_bfloat16 goes with all"):
        TrainingSettings(precision="mixed_float16", strategy=strategy)


def _with(dotted, value):
    """Returns the recipe with one value put into it."""
    first, _, rest = dotted.partition(".")
    inner = {rest: value} if rest else value
    if "." in rest:
        section, _, key = rest.partition(".")
        inner = {section: {key: value}}
    known = RECIPE.get(first)
    return {**RECIPE, first: {**known, **inner} if isinstance(known, dict) and isinstance(inner, dict) else inner}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1 << 32),
        ("seed", -1),
        ("classifier.seed", 1 << 32),
        ("classifier.epochs", 0),
        ("classifier.epochs", 10**9),
        ("classifier.batch", 10**9),
        ("classifier.patience", 10**9),
        ("classifier.min_steps", 10**12),
        ("classifier.noise", float("inf")),
        ("classifier.layers", [0]),
        ("classifier.layers", [70_000]),
        ("classifier.layers", [1] * 101),
        ("classifier.dropout", 1.0),
        ("classifier.optimizer.learning_rate", float("nan")),
        ("classifier.optimizer.learning_rate", 0),
        ("classifier.optimizer.learning_rate", 1e300),
        ("classifier.optimizer.warmup_epochs", 1e300),
        ("classifier.optimizer.clip_norm", 0),
        ("classifier.convolutions", [{"filters": 10**6}]),
        ("autoencoder", {"latent": 10**6}),
        ("data.shape", [0, 8]),
        ("data.shape", [8, 10**6]),
        ("data.pixel_max", 256),
        ("data.pixel_max", 0),
        ("data.label_count", 1),
        ("data.label_count", 1001),
        ("data.label", ""),
        ("data.split", "tail:" + "9" * 5000),
        ("data.split", "rows:1," + "9" * 30),
        ("evaluation.accuracy", 1.5),
        ("evaluation.accuracy", -0.1),
        ("evaluation.class_accuracy", 2),
        ("evaluation.loss", 0),
        ("evaluation.loss", float("inf")),
        ("evaluation.baseline_margin", -0.1),
        ("gates.thresholds", {"rows": -1}),
    ],
)
def test_values_out_of_bounds_are_found_before_any_work(key, value):
    with pytest.raises(ValidationError):
        Settings.model_validate(_with(key, value))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "classifier",
            {"layers": [60_000, 60_000]},
            r"classifier has 3,604,\d{3},\d{3} weights, more than 268,435,456",
        ),
        ("autoencoder", {"layers": [20_000, 20_000]}, r"autoencoder has [0-9,]+ weights, more than"),
        ("classifier", {"batch": 1_000_000, "layers": [2000]}, r"a layer of the classifier has 2,000,000,000 outputs"),
        ("classifier", {"convolutions": [{"filters": 4000, "padding": "same"}], "batch": 8192}, "outputs for a batch"),
    ],
)
def test_a_network_that_no_machine_has_the_memory_for_is_refused(key, value, message):
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(_with(key, value))


@pytest.mark.parametrize("key", ["seed", "classifier.seed"])
def test_the_largest_seed_is_one(key):
    assert Settings.model_validate(_with(key, MOST_SEED)).classifier.seed == MOST_SEED
