"""`mnist-tfx predict`: photographs of the embedded digits, read by the model of a first run."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from command_line import PROJECT, mnist_tfx
from PIL import Image
from predict.drawn import UCI_TEST, bytes_of, glyph, on_paper, placed, uci_photograph
from sklearn.datasets import load_digits

from components.ingest import idx


def without_tensorflow(*arguments):
    """Runs the command where importing TensorFlow fails: it has to end before that."""
    script = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from pipeline.cli.main import main\n"
        "sys.argv = ['mnist-tfx', 'predict', *sys.argv[1:]]\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)


@pytest.fixture
def bare_root(tmp_path):
    """A root in which nothing is served yet."""
    (tmp_path / "records").mkdir()
    (tmp_path / "root.json").write_text("{}")
    (tmp_path / "ledger.jsonl").touch()
    return tmp_path


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
        ([], "an argument that is needed is missing"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(bare_root, arguments, message):
    done = without_tensorflow(*arguments, "--root", bare_root)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_brings_neither_numpy_nor_pillow():
    script = (
        "import sys\nfrom pipeline.cli.main import main\nsys.argv = ['mnist-tfx', 'predict', '--help']\n"
        "try: main()\nfinally: print(sorted({'numpy', 'PIL', 'scipy', 'tensorflow'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert "Example:" in done.stdout
    assert done.stdout.endswith("[]\n")


def said(err):
    """Returns what was said, without how far it was: a slow machine says that after every half a minute of silence."""
    return [line for line in err.splitlines() if not line.startswith("reading: ")]


@pytest.mark.e2e
def test_photographs_of_digits_are_read(first_run, photographs, tmp_path):
    sheet = tmp_path / "sheet.png"
    arguments = (photographs, "--root", first_run[0], "--labels-from-names", "--sheet", sheet)
    answer = mnist_tfx("predict", *arguments, "--json")
    assert answer.code == 0, answer.err
    assert said(answer.err) == ["loading version 1"]
    found = answer.json
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
    assert "4-two.png: wanted one digit, got 2: --many reads each" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.e2e
def test_a_refusal_fits_the_schema_and_so_does_an_error(first_run, others):
    refused = mnist_tfx("predict", others, "--root", first_run[0], "--json")
    assert refused.code == 3
    states = [one["state"] for one in refused.json["files"]]
    assert (refused.status, states) == ("refused", ["empty", "several"])
    wrong = mnist_tfx("predict", others, "--root", first_run[0], "--version", 9, "--json")
    assert wrong.code == 2
    assert (wrong.status, wrong.json) == ("usage", None)


@pytest.fixture(scope="module")
def wrong_kinds(tmp_path_factory):
    """Files that are no photographs of a digit, each in another way."""
    folder = tmp_path_factory.mktemp("kinds")
    frames = [Image.new("L", (40, 40), shade) for shade in (0, 120, 250)]
    frames[0].save(folder / "animated.png", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "pages.tif", save_all=True, append_images=frames[1:])
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    Image.new("L", (1, 1)).save(folder / "dot.png")
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("a seven")
    whole = bytes_of(on_paper(placed(glyph("4", 70), (120, 160), 20, 15)))
    Image.fromarray(whole).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:200])
    (folder / "array.npz").write_bytes(b"PK\x03\x04" + bytes(100))
    return sorted(folder.iterdir())


def test_the_name_of_nothing_is_told_before_anything_is_read(bare_root, wrong_kinds):
    done = without_tensorflow(wrong_kinds[0], "here.png", "--root", bare_root)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "here.png" in done.stderr


@pytest.mark.e2e
def test_all_that_cannot_be_read_is_said_at_once(first_run, others, wrong_kinds, tmp_path):
    named = [path for path in wrong_kinds if path.name in ("cut.png", "dot.png", "text.png")]
    none = without_tensorflow(*named[:2], "--root", first_run[0])
    assert (none.returncode, none.stdout) == (2, "")
    assert all(str(path) in none.stderr for path in named[:2])
    (tmp_path / "bare").mkdir()
    some = without_tensorflow(others / "1-empty.png", named[2], tmp_path / "bare", "--root", first_run[0])
    assert some.returncode == 2
    assert all(str(path) in some.stderr for path in (named[2], tmp_path / "bare"))
    assert "1-empty.png" in some.stdout


@pytest.mark.e2e
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_file_of_a_wrong_kind_is_one_line_and_the_others_are_answered(first_run, photographs, wrong_kinds, as_json):
    good = sorted(photographs.glob("*.png"))[:3]
    cmyk = photographs / "3-cmyk.jpg"
    with Image.open(good[0]) as image:
        Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("CMYK").save(cmyk)
    arguments = (good[0], *wrong_kinds, *good[1:], cmyk, "--root", first_run[0])
    answer = mnist_tfx("predict", *arguments, *(["--json"] if as_json else []))
    cmyk.unlink()
    assert answer.code == 2
    for path in wrong_kinds:
        assert answer.err.count(f"mnist-tfx: {path}: ") == 1
    assert len(said(answer.err)) == len(wrong_kinds) + 1  # and which version is loaded
    if as_json:
        found = answer.json
        assert answer.status == "usage"
        assert len(answer.envelope["error"]["problems"]) == len(wrong_kinds)
        assert [one["path"] for one in found["files"]] == [*map(str, good), str(cmyk)]
        assert {one["state"] for one in found["files"]} == {"read"}
        assert sorted(one["path"] for one in found["unreadable"]) == sorted(map(str, wrong_kinds))


@pytest.mark.e2e
def test_answers_are_doubted_at_rates_that_are_stated(first_run, photographs, tmp_path):
    digits, rng = load_digits(), np.random.default_rng(3)
    for number in range(12):
        shape = np.kron(rng.integers(0, 2, (6, 6)), np.ones((14, 14)))
        shape[40:44] = 1  # in one piece
        Image.fromarray(bytes_of(on_paper(placed(shape, (120, 120), 18, 18)))).save(tmp_path / f"blot{number}.png")
    found = mnist_tfx("predict", photographs, tmp_path, "--root", first_run[0], "--json").json
    assert (found["orientation"], found["inverted"], found["notes"]) == ("upright", False, [])
    held_out = found["held_out"]
    assert held_out["rows"] == len(digits.target) - 1395
    assert held_out["doubted"] < 0.06
    doubted = {one["path"]: bool(one["doubts"]) for one in found["files"] if one["state"] == "read"}
    blots = [holds for path, holds in doubted.items() if "blot" in path]
    others = [holds for path, holds in doubted.items() if "blot" not in path]
    assert blots.count(True) == len(blots) > 0
    assert sum(others) < len(others) / 2
    told = mnist_tfx("predict", tmp_path, "--root", first_run[0])
    assert "unlike the training data" in told.out
    assert f"of {held_out['rows']} rows held out from its training" in told.out


@pytest.mark.e2e
@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_without_the_rows_behind_a_version_nothing_is_claimed_of_doubt_or_orientation(root, photographs, harm):
    (folder,) = (root / "artifacts" / "ExampleGen" / "examples").iterdir()
    if harm == "gone":
        shutil.rmtree(folder)
    else:
        with (folder / "profile.json").open("a") as file:
            file.write(" ")
    picture = min(photographs.glob("*.png"))
    answer = mnist_tfx("predict", picture, "--root", root)
    assert answer.code == 0
    assert "orientation not known" in answer.out
    assert "doubt not known" in answer.out
    found = mnist_tfx("predict", picture, "--root", root, "--json").json
    assert (found["orientation"], found["held_out"], len(found["notes"])) == (None, None, 2)


@pytest.mark.e2e
def test_a_model_of_transposed_data_sees_pictures_transposed(photographs, tmp_path):
    data, schemas, root = tmp_path / "data", tmp_path / "schemas", tmp_path / "root"
    digits = load_digits()
    data.mkdir()
    images = np.ascontiguousarray(digits.images.astype(np.uint8).transpose(0, 2, 1))
    idx.write_images(data / "train-images-idx3-ubyte", images)
    idx.write_labels(data / "train-labels-idx1-ubyte", digits.target)
    drafts = tmp_path / "drafts"
    for command in (
        ("schema", "propose", "--data", data, "--pixel-max", 16, "--to", drafts),
        ("schema", "approve", drafts / "8x8-max16-labels10.pbtxt", "--schema", schemas),
        ("run", "--data", data, "--schema", schemas, "--root", root),
    ):
        done = mnist_tfx(*command)
        assert done.code == 0, done.err
    answer = mnist_tfx("predict", photographs, "--root", root, "--labels-from-names", "--json")
    found = answer.json
    assert found["orientation"] == "transposed (columns written as rows)"
    assert "and so the pictures were made before it saw them" in found["notes"][0]
    assert found["accuracy"] > 0.9


@pytest.fixture(scope="module")
def as_emnist(tmp_path_factory):
    """Data as EMNIST has them, rows and columns swapped and labels from 1 on, and a root whose model was told so."""
    folder = tmp_path_factory.mktemp("as-emnist")
    data, digits = folder / "data", load_digits()
    data.mkdir()
    images = np.ascontiguousarray(digits.images.astype(np.uint8).transpose(0, 2, 1))
    idx.write_images(data / "train-images-idx3-ubyte", images)
    idx.write_labels(data / "train-labels-idx1-ubyte", digits.target + 1)
    done = mnist_tfx(
        *("run", "--data", data, "--transpose", "--label-offset", "1", "--root", folder / "root"),
        *("--set", "autoencoder=null", "--set", "evaluation.reconstruction_mse=null", "--set", "classifier.epochs=20"),
    )
    assert done.code == 0, done.err
    return folder


@pytest.mark.e2e
def test_pictures_go_by_the_labels_that_the_files_have_and_are_turned_as_they_are_stored(as_emnist, tmp_path):
    digits = load_digits()
    for number in range(UCI_TEST, UCI_TEST + 60):
        folder = tmp_path / str(digits.target[number] + 1)
        folder.mkdir(exist_ok=True)
        uci_photograph(digits.images[number]).save(folder / f"{number}.png")
    found = mnist_tfx("predict", tmp_path, "--root", as_emnist / "root", "--labels-from-folders", "--json").json
    assert found["orientation"] == "upright"  # the files are transposed, and what is stored of them is not
    assert found["accuracy"] > 0.9
    assert {found["names"][one["class"]] for one in found["files"]} == {str(label) for label in range(1, 11)}


@pytest.mark.e2e
@pytest.mark.parametrize("form", ["idx", "csv"])
def test_rows_in_the_form_of_the_training_data_are_turned_and_counted_as_they_were(as_emnist, form, tmp_path):
    files = [as_emnist / "data" / f"train-{role}-ubyte" for role in ("images-idx3", "labels-idx1")]
    if form == "csv":
        (rows,) = idx.iter_chunks(*files, rows=2000)
        files = [tmp_path / "rows.csv"]
        np.savetxt(files[0], np.column_stack([rows.labels, rows.pixels]), fmt="%d", delimiter=",")
    answers = tmp_path / "answers.csv"
    found = mnist_tfx("predict", *files, "--root", as_emnist / "root", "-o", answers, "--json").json
    assert found["tables"][0]["accuracy"] > 0.9
    assert {line.split(",")[1] for line in answers.read_text().splitlines()[1:]} == {str(n) for n in range(1, 11)}


@pytest.mark.e2e
def test_a_version_that_was_changed_is_refused(root, photographs):
    with (root / "serving" / "1" / "saved_model.pb").open("ab") as file:
        file.write(b"\0")
    done = without_tensorflow(photographs, "--root", root)
    assert done.returncode == 3
    assert "lineage audit 1" in done.stderr
    shutil.rmtree(root / "serving" / "1")
    said = without_tensorflow(photographs, "--root", root).stderr
    assert "version 1 was pushed, and no version is there" in said
