"""Values of recipe sections that no run could use are refused with the reason."""

import pytest
from pydantic import ValidationError

from components.settings import (
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


@pytest.mark.parametrize("name", ["strategy", "precision", "jit"])
def test_what_both_trainings_run_on_is_said_once(name):
    value = {"strategy": "mirrored", "precision": "mixed_bfloat16", "jit": True}[name]
    recipe = {"name": "x", "data": {"shape": [2, 2], "pixel_max": 1}, "autoencoder": {}, "classifier": {}}
    both = Settings.model_validate({**recipe, name: value})
    assert [getattr(training, name) for training in (both.autoencoder, both.classifier)] == [value, value]


@pytest.mark.parametrize("strategy", ["mirrored", "multiworker"])
def test_float16_goes_with_one_device_alone(strategy):
    with pytest.raises(ValidationError, match="mixed_bfloat16 goes with all"):
        TrainingSettings(precision="mixed_float16", strategy=strategy)
