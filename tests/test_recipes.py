import pytest
import yaml

from components.errors import BadInput, SeveralProblems
from components.settings import Settings
from pipeline.config.recipe import load_recipe, profile_names, recipe_for_shape
from pipeline.config.recipe_file import RECIPES, read_chain, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_package_is_valid(name):
    assert load_recipe(name).name == name


@pytest.mark.parametrize(
    ("name", "profile"), [(name, profile) for name in recipe_names() for profile in profile_names(name)]
)
def test_every_profile_resolves(name, profile):
    assert load_recipe(name, profile=profile).name == name


@pytest.mark.parametrize("name", [name for name in recipe_names() if profile_names(name)])
def test_a_recipe_with_profiles_is_fast_unless_another_is_asked_for(name):
    fast, paper = (load_recipe(name, profile=profile) for profile in ("fast", "paper"))
    assert load_recipe(name) == fast != paper


@pytest.mark.parametrize("name", recipe_names())
def test_the_profiles_of_a_recipe_take_the_same_images(name):
    found = {load_recipe(name, profile=profile).data.geometry for profile in (None, *profile_names(name))}
    assert found <= {"8x8-max16-labels10", "28x28-max255-labels10"}
    assert len(found) == 1


def test_five_recipes_have_no_autoencoder():
    without = {name for name in recipe_names() if load_recipe(name).autoencoder is None}
    assert without == {"cnn", "dnn", "linear", "mlp", "optdigits-cnn"}


def test_an_autoencoder_can_be_left_out_of_any_recipe():
    settings = load_recipe("digits", overrides=["autoencoder=null", "evaluation.reconstruction_mse=null"])
    assert settings.autoencoder is None


def test_the_default_recipe_follows_the_shape_of_the_images():
    assert (recipe_for_shape((28, 28)), recipe_for_shape((8, 8)), recipe_for_shape(None)) == (
        "mnist",
        "digits",
        "digits",
    )


def test_settings_survive_their_json():
    settings = load_recipe("digits")
    assert Settings.from_json(settings.to_json()) == settings


def test_an_override_changes_one_value():
    settings = load_recipe("digits", overrides=["autoencoder.epochs=3"])
    assert settings.autoencoder.epochs == 3
    assert settings.classifier == load_recipe("digits").classifier


def test_the_seed_is_both_trainings_seed():
    settings = load_recipe("digits", seed=7)
    assert (settings.seed, settings.autoencoder.seed, settings.classifier.seed) == (7, 7, 7)


def test_the_strategy_is_both_trainings_strategy_whatever_was_said_of_either():
    settings = load_recipe("digits", overrides=["classifier.strategy=mirrored"], strategy="single")
    assert (settings.autoencoder.strategy, settings.classifier.strategy) == ("single", "single")


def test_one_value_of_a_section_that_a_recipe_does_without_is_refused_and_a_whole_one_is_not():
    with pytest.raises(
        BadInput, match=r"cnn.yaml, --set autoencoder.epochs: there is no autoencoder in the recipe: .* adds one"
    ):
        load_recipe("cnn", overrides=["autoencoder.epochs=3"])
    added = load_recipe("cnn", overrides=["autoencoder={epochs: 3}"])
    assert added.autoencoder is not None
    assert added.autoencoder.epochs == 3


def test_exports_are_the_same_in_any_order():
    one = load_recipe("cnn", overrides=["classifier.exports=[keras, frozen, keras]"])
    assert one == load_recipe("cnn", overrides=["classifier.exports=[frozen, keras]"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "autoencoder.epoch=3",
            "unknown key autoencoder.epoch: wanted one of activation, batch, build, deterministic, epochs",
        ),
        ("autoencoder.epoch=3", "did you mean epochs?"),
        ("classifer.epochs=3", "did you mean classifier?"),
        ("classifier.epochs=0", "digits.yaml: classifier.epochs: wanted a whole number "),
        ("classifier.epochs=many", "got 'many'"),
        ("autoencoder.optimizer.learning_rate=.inf", "autoencoder.optimizer.learning_rate: wanted a number above 0"),
        ("data.split=half", "data.split"),
        ("evaluation.accuracy=1.5", "evaluation.accuracy: wanted a number from 0 "),
        ("name=../elsewhere", "name: wanted a name of at most 41 lower case letters"),
        ("epochs", "wanted section.key=value, got epochs"),
        ("autoencoder=null", "evaluation.reconstruction_mse needs an autoencoder"),
        ("transform.scaling=centre", "scaling centre needs autoencoder.output_activation linear, not sigmoid"),
        ("classifier.output_activation=tanh", "it needs the loss mse, not categorical_crossentropy"),
        ("classifier.convolutions=[{filters: 8, kernel: 9}]", "nothing is left of 8 pixels after number 1"),
        ("classifier.convolutions=[{filters: 8, kernel: 5, pool: 3}, {filters: 8}]", "after number 2"),
        ("classifier.convolutions=[{filters: 8, core: 3}]", "wanted one of activation, dropout, filters, kernel"),
        ("classifier.augmentation={shift: 1, turn: 2}", "wanted one of rotation, shift, zoom"),
        ("classifier.exports=[onnx]", "wanted a list, each of it keras, h5 or frozen, got ['onnx']"),
    ],
)
def test_a_wrong_override_is_refused_in_one_line(override, message):
    with pytest.raises(BadInput) as refused:
        load_recipe("digits", overrides=[override])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not readable as YAML"),
        ("- a\n- b\n", "wanted a mapping of sections, got ['a', 'b']"),
        ("version: 1\nname: mine\n", "is missing"),
        ("version: 2\nname: mine\n", "version"),
        ("!!python/object/apply:os.system ['true']", "not readable as YAML"),
    ],
)
def test_a_broken_recipe_file_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        load_recipe(str(path))
    assert message in str(refused.value)


def test_a_profile_lies_over_the_recipe_and_an_unknown_one_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    text = (RECIPES / "digits.yaml").read_text().replace("profiles: {}", "")
    path.write_text(text + "\nprofiles:\n  quick: {classifier: {epochs: 2}}\n")
    assert load_recipe(str(path), profile="quick").classifier.epochs == 2
    with pytest.raises(BadInput, match="unknown profile: wanted quick, got slow"):
        load_recipe(str(path), profile="slow")


def test_a_wrong_profile_and_wrong_keys_are_said_at_once():
    with pytest.raises(SeveralProblems) as caught:
        load_recipe("mnist", profile="fst", overrides=["classifier.epochz=3", "nokey", "evaluation.accuracy=2"])
    told = "\n".join(map(str, caught.value.problems))
    assert "unknown profile: wanted none, got fst" in told
    assert "classifier.epochz" in told
    assert "--set: not an override: wanted section.key=value, got nokey" in told
    assert "evaluation.accuracy" in told
    assert len(caught.value.problems) == 4


def test_a_part_of_nothing_and_a_wrong_key_are_said_at_once():
    with pytest.raises(SeveralProblems) as caught:
        load_recipe("cnn", overrides=["autoencoder.epochs=3", "classifier.epochz=3"])
    assert "there is no autoencoder in the recipe" in str(caught.value)
    assert "classifier.epochz" in str(caught.value)


def test_what_the_profile_that_was_meant_may_put_right_is_not_said_of_the_recipe(tmp_path):
    values = yaml.safe_load((RECIPES / "digits.yaml").read_text())
    moved = {"classifier": values.pop("classifier")}
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(yaml.safe_dump({**values, "profiles": {"small": moved}}))
    assert load_recipe(str(recipe), profile="small")
    with pytest.raises(BadInput) as caught:
        load_recipe(str(recipe), profile="smal", overrides=["seed=3"])
    assert str(caught.value) == "mine.yaml: unknown profile: wanted small, got smal: did you mean small?"


def written(folder, **recipes):
    """Writes recipes as YAML files and returns the path of the first."""
    for name, values in recipes.items():
        folder.joinpath(f"{name}.yaml").write_text(yaml.safe_dump(values))
    return str(folder / f"{next(iter(recipes))}.yaml")


def test_a_recipe_that_extends_another_is_that_one_but_for_what_it_says(tmp_path):
    mine = written(tmp_path, mine={"extends": "digits", "name": "mine", "classifier": {"epochs": 3, "layers": [16]}})
    found, base = load_recipe(mine), load_recipe("digits")
    changed = base.classifier.model_copy(update={"epochs": 3, "layers": (16,)})
    assert found == base.model_copy(update={"name": "mine", "classifier": changed})


def test_what_a_recipe_says_goes_over_every_profile_that_it_inherits(tmp_path):
    mine = written(tmp_path, mine={"extends": "cnn", "name": "mine", "classifier": {"epochs": 3}})
    assert profile_names(mine) == ["fast", "paper"]
    fast, paper = load_recipe(mine), load_recipe(mine, profile="paper")
    assert (fast.classifier.epochs, paper.classifier.epochs) == (3, 3)
    assert (fast.classifier.batch, paper.classifier.batch) == (128, 100)


def test_null_leaves_out_a_section_that_is_inherited(tmp_path):
    mine = written(
        tmp_path,
        mine={
            "extends": "digits",
            "name": "mine",
            "autoencoder": None,
            "evaluation": {"reconstruction_mse": None},
        },
    )
    assert load_recipe(mine).autoencoder is None


def test_recipes_extend_files_beside_them_and_the_chain_is_named(tmp_path):
    (tmp_path / "sub").mkdir()
    written(tmp_path, base={"extends": "digits", "name": "base", "seed": 4})
    mine = written(tmp_path / "sub", mine={"extends": "../base.yaml", "name": "mine", "classifier": {"epoch": 1}})
    chain = read_chain(mine)
    assert chain.names == (mine, f"{tmp_path}/sub/../base.yaml", "digits")
    with pytest.raises(BadInput, match=r"^mine.yaml, which extends .*base.yaml, which extends digits: unknown key"):
        load_recipe(mine)


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ({"a": {"extends": "a.yaml", "name": "a"}}, "a.yaml: a recipe extends itself: got .*a.yaml extends .*a.yaml"),
        (
            {"a": {"extends": "b.yaml", "name": "a"}, "b": {"extends": "c.yaml"}, "c": {"extends": "b.yaml"}},
            "a.yaml: a recipe extends itself: got .*b.yaml extends .*c.yaml extends .*b.yaml$",
        ),
        ({"a": {"extends": "digit", "name": "a"}}, "a.yaml, extends: unknown recipe: .* did you mean digits?"),
        ({"a": {"extends": ["digits"], "name": "a"}}, "extends: wanted the name of a recipe, or a YAML file, got"),
        ({"a": {"extends": "gone.yaml", "name": "a"}}, "gone.yaml: no such file"),
        ({"a": {"extends": "digits"}}, "a recipe that extends another has a name of its own: wanted name: NAME"),
        ({"a": {"extends": "cnn", "name": "a", "profiles": {"fast": 1}}}, "profiles.fast: wanted a mapping"),
    ],
)
def test_what_cannot_be_extended_is_refused_in_one_line(tmp_path, recipes, message):
    with pytest.raises(BadInput, match=message):
        load_recipe(written(tmp_path, **recipes))
