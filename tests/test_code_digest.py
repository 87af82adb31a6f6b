"""A node's code digest changes with exactly the code that the node can run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import components
from components.errors import BadInput, EnvironmentProblem
from pipeline.provenance.code import Sources, code_digest, code_files, code_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_TFX_CACHE", str(tmp_path / "cache"))


PROJECT = Path(components.__file__).parent.parent
LOCK = "0" * 64

# A small project with every way in which code refers to code.
TREE = {
    "components/__init__.py": "",
    "components/features.py": "IMAGE = 'image'\n",
    "components/preprocessing.py": "from components.features import IMAGE\n",
    "components/transform.py": "PREPROCESSING_FN = 'components.preprocessing.preprocessing_fn'\n",
    "components/training/__init__.py": "from components.training import export\n",
    "components/training/export.py": "import json\n",
    "components/training/input.py": "import components.features\n",
    "components/autoencoder/__init__.py": "",
    "components/autoencoder/model.py": "def build(): ...\n",
    "components/autoencoder/trainer.py": "def run_fn():\n    from . import model\n    from ..training.input import rows\n",
    "components/classifier/__init__.py": "",
    "components/classifier/trainer.py": (
        "from typing import TYPE_CHECKING\nfrom components.training import *\n"
        "if TYPE_CHECKING:\n    from components.classifier.model import Model\n"
    ),
    "components/classifier/model.py": "from ..features import IMAGE as I\n",
    "components/check.py": "from pathlib import Path\nPROBE = Path(__file__).with_name('probe.py')\n",
    "components/probe.py": "print('asks the model')\n",
    "components/circle_a.py": "import components.circle_b\n",
    "components/circle_b.py": "import components.circle_a\n",
    "pipeline/__init__.py": "",
    "pipeline/run.py": "import components.transform as t, tfx\n",
}
NODES = {
    "Transform": "components.transform",
    "Autoencoder": "components.autoencoder.trainer.run_fn",
    "Classifier": "components.classifier.trainer",
    "Check": "components.check",
    "Circle": "components.circle_a",
    "Runner": "pipeline.run",
}
# Which nodes an edit of each file concerns, worked out by hand.
CONCERNS = {
    "components/__init__.py": set(NODES),
    "components/features.py": {"Transform", "Autoencoder", "Classifier", "Runner"},
    "components/preprocessing.py": {"Transform", "Runner"},
    "components/transform.py": {"Transform", "Runner"},
    "components/training/__init__.py": {"Autoencoder", "Classifier"},
    "components/training/export.py": {"Autoencoder", "Classifier"},
    "components/training/input.py": {"Autoencoder"},
    "components/autoencoder/__init__.py": {"Autoencoder"},
    "components/autoencoder/model.py": {"Autoencoder"},
    "components/autoencoder/trainer.py": {"Autoencoder"},
    "components/classifier/__init__.py": {"Classifier"},
    "components/classifier/trainer.py": {"Classifier"},
    "components/classifier/model.py": {"Classifier"},
    "components/check.py": {"Check"},
    "components/probe.py": {"Check"},
    "components/circle_a.py": {"Circle"},
    "components/circle_b.py": {"Circle"},
    "pipeline/__init__.py": {"Runner"},
    "pipeline/run.py": {"Runner"},
}


@pytest.fixture
def tree(tmp_path):
    for path, text in TREE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def digests(base):
    return {node: code_of(module, LOCK, Sources(base=base)).digest for node, module in NODES.items()}


@pytest.mark.fault(39)
@pytest.mark.parametrize("path", TREE)
def test_an_edit_changes_exactly_the_nodes_that_depend_on_it(tree, path):
    before = digests(tree)
    with (tree / path).open("a") as file:
        file.write("# edited\n")
    after = digests(tree)
    assert {node for node in NODES if before[node] != after[node]} == CONCERNS[path]


def test_a_file_that_nothing_refers_to_changes_nothing(tree):
    before = digests(tree)
    (tree / "components" / "stray.py").write_text("import components.features\n")
    assert digests(tree) == before


def test_another_lock_is_another_digest_of_the_same_files(tree):
    one, other = (code_of("components.check", lock, Sources(base=tree)) for lock in (LOCK, "1" * 64))
    assert one.files == other.files
    assert one.digest != other.digest


def test_several_modules_together_have_the_files_of_each(tree):
    both = code_files(["components.check", "components.circle_a"], Sources(base=tree))
    assert both == {
        **code_files("components.check", Sources(base=tree)),
        **code_files("components.circle_a", Sources(base=tree)),
    }


def test_a_copy_elsewhere_has_the_same_digest(tree, tmp_path):
    shutil.copytree(tree, tmp_path / "copied elsewhere", ignore=shutil.ignore_patterns("copied*"))
    assert digests(tmp_path / "copied elsewhere") == digests(tree)


def test_a_cache_of_compiled_modules_changes_nothing(tree):
    before = digests(tree)
    (tree / "components" / "__pycache__").mkdir()
    (tree / "components" / "__pycache__" / "features.cpython-310.pyc").write_bytes(b"\0")
    assert digests(tree) == before


@pytest.mark.parametrize("module", ["components.nothing", "components.nothing.here.at_all", "numpy", "tests.x", ""])
def test_a_module_that_is_not_there_is_refused(tree, module):
    with pytest.raises(BadInput, match="no such module"):
        code_files(module, Sources(base=tree))


@pytest.mark.parametrize("text", ["def broken(:\n", "\0"])
def test_a_file_that_does_not_parse_is_named(tree, text):
    (tree / "components" / "preprocessing.py").write_text(text)
    with pytest.raises(EnvironmentProblem, match=r"preprocessing\.py: does not parse"):
        code_files("components.transform", Sources(base=tree))


def test_the_project_itself_is_found_without_importing_it():
    files = code_files("components.digest")
    assert set(files) == {"components/__init__.py", "components/digest.py"}
    assert code_digest("components.digest", LOCK) == code_of("components.digest", LOCK, Sources(base=PROJECT)).digest


def test_an_installed_copy_is_found_from_any_folder_and_not_imported(tmp_path):
    for package in ("components", "pipeline"):
        shutil.copytree(PROJECT / package, tmp_path / "site" / package)
    with (tmp_path / "site" / "components" / "errors.py").open("a") as file:
        file.write("# edited\n")
    script = (
        "import sys; from pipeline.provenance.code import code_digest;"
        f"print(code_digest('components.settings', '{LOCK}')); assert 'components.settings' not in sys.modules"
    )
    environ = {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd="/", env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == code_of("components.settings", LOCK, Sources(base=tmp_path / "site")).digest


def test_an_edit_of_preprocessing_in_a_copy_of_the_project_concerns_its_importers_alone(tmp_path):
    shutil.copytree(PROJECT / "components", tmp_path / "components")
    shutil.copytree(PROJECT / "pipeline", tmp_path / "pipeline")
    modules = {"Transform": "components.preprocessing", "StatisticsGen": "components.statistics_gen"}
    before = {node: code_of(module, LOCK, Sources(base=tmp_path)).digest for node, module in modules.items()}
    with (tmp_path / "components" / "preprocessing.py").open("a") as file:
        file.write("# edited\n")
    after = {node: code_of(module, LOCK, Sources(base=tmp_path)).digest for node, module in modules.items()}
    assert before["Transform"] != after["Transform"]
    assert before["StatisticsGen"] == after["StatisticsGen"]
