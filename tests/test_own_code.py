"""Code of the user's own: where it is looked for, what of it is found, and the copy that a run keeps."""

import os
import sys

import pytest

from components.digest import sha256_bytes
from components.errors import BadInput, Refused
from components.settings import ClassifierSettings, DataSettings, Settings
from pipeline.kubeflow.pod import image_code
from pipeline.provenance import own_code
from pipeline.provenance.code import code_of
from pipeline.stages import CLASSIFIER, STAGES, TRANSFORM

LOCK = "0" * 64
PACKAGE = {
    "my_package/__init__.py": "from . import constants\n",
    "my_package/nets.py": "import keras\nimport numpy\nfrom .parts.blocks import block\n\ndef build(data, settings): ...\n",
    "my_package/parts/blocks.py": "import shared\nfrom components.features import IMAGE\n\ndef block(x):\n    from my_package import late\n",
    "my_package/constants.py": "WIDTH = 3\n",
    "my_package/late.py": "",
    "my_package/unused.py": "",
    "shared.py": "import json\n",
}
FOUND = sorted(set(PACKAGE) - {"my_package/unused.py"})


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder with a package and a module that it imports; the working directory is another one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return write(tmp_path / "there", PACKAGE)


def recipe(build):
    return Settings(
        name="own",
        data=DataSettings(shape=(8, 8), pixel_max=16),
        autoencoder=None,
        classifier=ClassifierSettings(build=build),
    )


def test_all_that_is_imported_outside_the_environment_is_found(package):
    found = own_code.find("my_package.nets:build", [package])
    assert sorted(found.contents) == FOUND
    assert found.places["shared.py"] == package / "shared.py"
    assert found.imports == ("components.features.IMAGE",)


@pytest.mark.parametrize("changed", FOUND)
def test_every_file_of_it_is_in_the_digest_of_its_stage_and_of_no_other(package, changed):
    settings = recipe("my_package.nets:build")

    def digests():
        return {
            node: own_code.code_of_stage(STAGES[node], settings, LOCK, [package])[0].digest
            for node in (CLASSIFIER, TRANSFORM)
        }

    before = digests()
    (package / changed).write_text(f"{PACKAGE[changed]}# changed\n")
    after = digests()
    assert (after[CLASSIFIER] != before[CLASSIFIER], after[TRANSFORM] == before[TRANSFORM]) == (True, True)


def test_a_file_that_is_not_imported_is_in_no_digest(package):
    before = own_code.find("my_package.nets:build", [package]).digests
    (package / "my_package" / "unused.py").write_text("changed")
    assert own_code.find("my_package.nets:build", [package]).digests == before


def test_what_it_imports_of_the_project_counts_too(package):
    files = own_code.code_of_stage(STAGES[CLASSIFIER], recipe("my_package.nets:build"), LOCK, [package])[0].files
    assert {"components/features.py", "components/classifier/trainer.py", "shared.py"} <= files.keys()
    assert own_code.own_digests(files) == {name: sha256_bytes(PACKAGE[name].encode()) for name in FOUND}


def test_without_a_function_the_code_is_the_projects_alone():
    code, own = own_code.code_of_stage(STAGES[CLASSIFIER], recipe(None), LOCK)
    assert (code, own) == (code_of(STAGES[CLASSIFIER].modules, LOCK), None)


def test_the_digest_does_not_depend_on_where_the_code_lies(package, tmp_path):
    elsewhere = write(tmp_path / "elsewhere", PACKAGE)
    digests = [own_code.find("my_package.nets:build", [folder]).digests for folder in (package, elsewhere)]
    assert digests[0] == digests[1]


def test_the_recipes_folder_comes_before_the_working_directory_and_that_before_the_path(tmp_path, monkeypatch):
    folders = [write(tmp_path / name, {"nets.py": f"def {name}(data, settings): ..."}) for name in ("a", "b", "c")]
    monkeypatch.chdir(folders[1])
    monkeypatch.setattr(sys, "path", [*sys.path, str(folders[2])])
    assert own_code.find("nets:a", [folders[0]]).places == {"nets.py": folders[0] / "nets.py"}
    assert own_code.find("nets:b").places == {"nets.py": folders[1] / "nets.py"}
    os.remove(folders[1] / "nets.py")
    assert own_code.find("nets:c").places == {"nets.py": folders[2] / "nets.py"}


def test_a_package_that_is_installed_is_ones_own_if_the_recipe_names_it():
    found = own_code.find("click.testing:CliRunner")
    assert "click/testing.py" in found.contents
    assert all(path.startswith("click/") for path in found.contents)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ("my_package.net:build", "no such module: wanted my_package.net in "),
        ("nowhere.nets:build", "no such module: wanted nowhere.nets in .*put its folder into PYTHONPATH"),
        ("share:build", "did you mean shared?"),
        ("my_package.nets:built", "no such function in the module: got built: did you mean build?"),
        ("my_package.nets.build:x", "no such module"),
        ("components.features:IMAGE", "components is a package of this project: give yours a name"),
        ("json:loads", "json is a package of Python"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(package, build, message):
    with pytest.raises(BadInput, match=f"^classifier.build: {build}: .*{message}") as refused:
        own_code.find(build, [package], where="classifier.build")
    assert "\n" not in str(refused.value)


def test_a_module_that_does_not_parse_is_refused_with_its_line(package):
    (package / "shared.py").write_text("x = 1\ndef f(:\n")
    with pytest.raises(BadInput, match=r"shared.py, line 2: does not parse as Python"):
        own_code.find("my_package.nets:build", [package])


def test_a_circle_of_imports_ends(tmp_path):
    write(tmp_path, {"one.py": "import other\ndef build(data, settings): ...", "other.py": "import one"})
    assert sorted(own_code.find("one:build", [tmp_path]).contents) == ["one.py", "other.py"]


def test_a_copy_is_kept_once_and_made_again_where_it_does_not_hold(package, tmp_path):
    own = own_code.find("my_package.nets:build", [package])
    folder = own_code.keep(tmp_path / "inputs", own)
    assert folder.name == own_code.folder_name(own.digests)
    assert own_code.holds(folder, own.digests)
    made = (folder / "shared.py").stat().st_mtime_ns
    assert own_code.keep(tmp_path / "inputs", own) == folder
    assert (folder / "shared.py").stat().st_mtime_ns == made
    for spoil in (
        lambda: (folder / "shared.py").write_text("changed"),
        lambda: (folder / "added.py").write_text(""),
        (folder / "shared.py").unlink,
    ):
        spoil()
        assert not own_code.holds(folder, own.digests)
        own_code.keep(tmp_path / "inputs", own)
        assert own_code.holds(folder, own.digests)


def test_a_pod_refuses_an_image_without_the_code(package, monkeypatch):
    with pytest.raises(
        Refused, match=r"the image does not hold this code: wanted my_package.nets in .*PYTHONPATH names"
    ):
        image_code.of_node(CLASSIFIER, "my_package.nets:build", LOCK)
    monkeypatch.syspath_prepend(package)
    code, own = image_code.of_node(CLASSIFIER, "my_package.nets:build", LOCK)
    here = own_code.code_of_stage(STAGES[CLASSIFIER], recipe("my_package.nets:build"), LOCK, [package])[0]
    assert (code.digest, sorted(own.contents)) == (here.digest, FOUND)
    assert image_code.of_recipe(recipe("my_package.nets:build"), LOCK)[CLASSIFIER] == here.digest
