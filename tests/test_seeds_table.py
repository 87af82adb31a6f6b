"""The table of the seed systems in docs/benchmarks.md: which row a line replaces, what misses a goal, and how long a resumed run took."""

import json

import pytest
import seeds
from seeds import ROWS, Figures, Row


@pytest.fixture
def page(tmp_path):
    file = tmp_path / "benchmarks.md"
    file.write_text(f"before\n\n{seeds.HEADING}| `linear` | about 90 % | accuracy 0.1000 | 1 s |\n\nafter\n")
    return file


def row(name):
    return next(row for row in ROWS if row.name == name)


def test_a_line_takes_the_place_of_its_own_row_and_leaves_the_others(page):
    for name, accuracy in (("dnn", 0.96), ("cnn:paper", 0.99), ("cnn:fast", 0.995), ("dnn", 0.97)):
        seeds.write(seeds.line_of(row(name), [Figures({"accuracy": accuracy}, 10.0)]), page)
    table = page.read_text().removeprefix(f"before\n\n{seeds.HEADING}").removesuffix("\nafter\n")
    assert [line.split(" | ")[0] for line in table.splitlines()] == [
        "| `cnn`, `fast`",
        "| `cnn`, `paper`",
        "| `linear`",
        "| `dnn`",
    ]
    assert "accuracy 0.9700 | 10 s" in table
    assert "accuracy 0.9600" not in table


def test_a_mean_below_its_figure_is_said_and_one_at_it_is_not():
    linear = row("linear")
    assert seeds.missed(linear, [Figures({"accuracy": value}, 1.0) for value in (0.89, 0.90, 0.91)]) == []
    [line] = seeds.missed(linear, [Figures({"accuracy": value}, 1.0) for value in (0.89, 0.90, 0.90)])
    assert line == "linear: accuracy is 0.89667 on test, wanted at least 0.9"


def test_an_error_above_its_figure_and_a_run_that_is_too_long_are_said():
    errors = Figures({"accuracy": 0.95, "reconstruction_mse": 0.0251}, 1.0)
    assert (
        "reconstruction_mse is 0.02510 on test, wanted at most 0.025"
        in seeds.missed(row("autoencoder-classifier:fast"), [errors])[0]
    )
    assert (
        "a run took 601 s, wanted at most 600" in seeds.missed(row("cnn:fast"), [Figures({"accuracy": 0.995}, 601)])[0]
    )


def test_every_row_is_a_recipe_and_a_profile_and_no_seed_is_without_a_row():
    from pipeline.config.recipe import profile_names
    from pipeline.config.recipe_file import recipe_names

    for one in ROWS:
        assert one.profile is None or one.profile in profile_names(one.recipe)
    assert {one.recipe for one in ROWS} == set(recipe_names()) - {"digits"}


@pytest.mark.parametrize(("asked", "names"), [(["cnn"], ["cnn:fast", "cnn:paper"]), (["mlp:paper"], ["mlp:paper"])])
def test_a_recipe_stands_for_all_its_profiles(asked, names):
    assert [one.name for one in seeds.asked_for(asked)] == names


def test_an_unknown_row_is_refused_with_the_known_ones():
    with pytest.raises(SystemExit, match=r"no row 'cmm'; there are autoencoder-classifier, "):
        seeds.asked_for(["cmm"])


@pytest.mark.e2e
def test_the_time_of_a_run_is_that_of_its_nodes_with_all_epochs_of_a_resumed_training(first_run, root):
    answer = first_run[1].json
    took = seeds.seconds_of(root, answer["run_id"])
    assert took == pytest.approx(sum(node["seconds"] for node in answer["nodes"]), rel=0.3)
    [training] = (root / "artifacts" / "Classifier" / "model_run").glob("*/training.json")
    found = json.loads(training.read_text())
    found["seconds"] += 1000.0
    training.write_text(json.dumps(found))
    assert seeds.seconds_of(root, answer["run_id"]) > 1000.0


def test_rows_have_one_name_each():
    assert len({one.name for one in ROWS}) == len(ROWS)
    assert all(isinstance(one, Row) for one in ROWS)
