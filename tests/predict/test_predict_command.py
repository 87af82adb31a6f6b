"""`mnist-tfx predict`: photographs of the embedded digits, read by the model of a first run."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from command_line import PROJECT, mnist_tfx
from jsonschema import Draft202012Validator
from PIL import Image
from predict.drawn import UCI_TEST, bytes_of, glyph, on_paper, placed, uci_photograph
from sklearn.datasets import load_digits

SCHEMA = json.loads((PROJECT / "pipeline" / "json_schemas" / "predict.json").read_text())


def valid(answer):
    errors = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(answer.json)]
    assert errors == []
    return answer.json


def without_tensorflow(*arguments):
    """Runs the command where importing TensorFlow fails: it has to end before that."""
    script = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from pipeline.cli import main\n"
        "sys.argv = ['mnist-tfx', 'predict', *sys.argv[1:]]\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    digits = load_digits()
    for number in range(UCI_TEST, UCI_TEST + 60):
        uci_photograph(digits.images[number]).save(folder / f"{digits.target[number]}-{number}.png")
    (folder / "notes.txt").write_text("sixty digits")
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """An empty photograph, and one with two digits."""
    folder = tmp_path_factory.mktemp("others")
    Image.new("L", (120, 120), 250).save(folder / "1-empty.png")
    two = placed(glyph("4", 70), (120, 160), 20, 15) + placed(glyph("2", 70), (120, 160), 20, 95)
    Image.fromarray(bytes_of(on_paper(two))).save(folder / "4-two.png")
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png"], "nowhere.png"),
        (["README.md"], "another kind of file"),
        (["pipeline"], "no PNG"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    done = without_tensorflow(*arguments, "--root", tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_brings_neither_numpy_nor_pillow():
    script = (
        "import sys\nfrom pipeline.cli import main\nsys.argv = ['mnist-tfx', 'predict', '--help']\n"
        "try: main()\nfinally: print(sorted({'numpy', 'PIL', 'scipy', 'tensorflow'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert "Example:" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.e2e
def test_photographs_of_digits_are_read(first_run, photographs, tmp_path):
    sheet = tmp_path / "sheet.png"
    arguments = (photographs, "--root", first_run[0], "--labels-from-names", "--sheet", sheet)
    answer = mnist_tfx("predict", *arguments, "--json")
    assert answer.code == 0, answer.err
    assert answer.err == "loading version 1\n"
    found = valid(answer)
    assert (found["shape"], found["pixel_max"], len(found["files"])) == ([8, 8], 16, 60)
    assert found["accuracy"] > 0.9
    assert [one["path"] for one in found["ignored"]] == [str(photographs / "notes.txt")]
    assert all(one["dark_on_light"] and one["second"] != one["class"] for one in found["files"])
    with Image.open(sheet) as image:
        assert np.asarray(image).std() > 10


@pytest.mark.e2e
def test_the_table_names_what_was_wrong_or_ignored(first_run, photographs):
    chosen = sorted(photographs.glob("*.png"))[:2]
    answer = mnist_tfx("predict", *chosen, "--root", first_run[0], "--labels-from-names")
    assert answer.code == 0
    assert all(str(path) in answer.out for path in chosen)
    assert "accuracy" in answer.out


@pytest.mark.e2e
def test_nothing_is_empty_and_two_are_refused_without_loading_anything(first_run, others):
    done = without_tensorflow(others, "--root", first_run[0])
    assert done.returncode == 3
    assert "empty" in done.stdout
    assert "4-two.png: wanted one digit, got 2: cut out a file for each digit" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.e2e
def test_a_refusal_fits_the_schema_and_so_does_an_error(first_run, others):
    refused = mnist_tfx("predict", others, "--root", first_run[0], "--json")
    assert refused.code == 3
    states = [one["state"] for one in valid(refused)["files"]]
    assert (refused.json["status"], states) == ("refused", ["empty", "several"])
    wrong = mnist_tfx("predict", others, "--root", first_run[0], "--version", 9, "--json")
    assert wrong.code == 2
    assert valid(wrong)["status"] == "error"


@pytest.mark.e2e
def test_a_version_that_was_changed_is_refused(root, photographs):
    with (root / "serving" / "1" / "saved_model.pb").open("ab") as file:
        file.write(b"\0")
    done = without_tensorflow(photographs, "--root", root)
    assert done.returncode == 3
    assert "lineage audit 1" in done.stderr
    shutil.rmtree(root / "serving" / "1")
    assert "no version is served yet" in without_tensorflow(photographs, "--root", root).stderr
