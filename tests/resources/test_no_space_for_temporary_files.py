"""A TMPDIR that is full: the commands that need temporary files take another folder, and leave nothing in either."""

import os

import pytest
from command_line import QUICK, mnist_tfx

from components.errors import ExitCode
from resources.machine import FILLER, fill, own_disk

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A disk without a free byte."""
    try:
        with own_disk(tmp_path_factory.mktemp("temporary") / "disk", "1m") as place:
            fill(place, 0)
            yield place
    except PermissionError as err:
        pytest.skip(str(err))


@pytest.mark.fault(7)
def test_a_run_needs_no_tmpdir_of_its_own(full, digits_folder, tmp_path):
    done = mnist_tfx("run", "--data", digits_folder, "--root", tmp_path / "root", *QUICK, env={"TMPDIR": str(full)})
    assert done.code == ExitCode.OK, done.err
    assert os.listdir(full) == [FILLER]


@pytest.mark.fault(7)
@pytest.mark.parametrize(
    "command",
    [
        ("data", "inspect", "DIGITS"),
        ("predict", "--root", "ROOT", "IMAGES"),
        ("report", "--root", "ROOT", "-o", "OUT/report.html"),
        ("root", "backup", "--root", "ROOT", "OUT/copy"),
        ("lineage", "trace", "--root", "ROOT"),
        ("lineage", "prove", "--index", "0", "--root", "ROOT", "-o", "OUT/proof.json"),
    ],
    ids=lambda command: " ".join(word for word in command[:2] if not word.startswith("-")),
)
def test_a_command_needs_none_either(full, root, digits_folder, tmp_path, command):
    places = {"ROOT": str(root), "DIGITS": str(digits_folder), "IMAGES": str(digits_folder / "train-images-idx3-ubyte")}
    words = [places.get(word, word.replace("OUT/", f"{tmp_path}/")) for word in command]
    done = mnist_tfx(*words, env={"TMPDIR": str(full)})
    assert done.code == ExitCode.OK, done.err
    assert os.listdir(full) == [FILLER]
