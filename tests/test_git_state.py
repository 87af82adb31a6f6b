"""Which commit the code stands on, asked of real repositories."""

import os
import subprocess

import pytest

from components.errors import BadInput
from pipeline.provenance.git import GitState, git_state

ENVIRON = {
    **{name: value for name, value in os.environ.items() if not name.startswith("MNIST_TFX_GIT")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *identity, "-C", folder, *arguments], env=ENVIRON, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    for path in ("components/digest.py", "pipeline/runner/run.py", "requirements.lock", "README.md"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    git(tmp_path, "init", "--quiet", folder)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_a_clean_checkout_is_its_commit(project):
    assert git_state(project, ENVIRON) == GitState(commit=git(project, "rev-parse", "HEAD"), tree="clean")


def test_the_current_folder_does_not_matter(project, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert git_state(project, ENVIRON).tree == "clean"


def test_an_outer_git_does_not_answer_for_the_project(project, tmp_path):
    environ = {**ENVIRON, "GIT_DIR": str(tmp_path / "elsewhere"), "GIT_WORK_TREE": str(tmp_path)}
    assert git_state(project, environ).tree == "clean"


CHANGES = {
    "edited": lambda p: (p / "components" / "digest.py").write_text("edited"),
    "staged": lambda p: ((p / "components" / "digest.py").write_text("staged"), git(p, "add", ".")),
    "deleted": lambda p: (p / "pipeline" / "runner" / "run.py").unlink(),
    "lock edited": lambda p: (p / "requirements.lock").write_text("other"),
    "untracked helper": lambda p: (p / "components" / "new.py").write_text("x = 1"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_an_uncommitted_change_makes_the_tree_dirty_with_a_digest(project, change):
    change(project)
    found = git_state(project, ENVIRON)
    assert (found.tree, len(found.diff_sha256)) == ("dirty", 64)
    assert found == git_state(project, ENVIRON)


def test_different_changes_have_different_digests(project):
    digests = set()
    for text in ("one", "two"):
        (project / "components" / "new.py").write_text(text)
        digests.add(git_state(project, ENVIRON).diff_sha256)
    assert len(digests) == 2


def test_the_digest_does_not_depend_on_how_the_user_likes_diffs(project):
    (project / "components" / "digest.py").write_text("edited")
    plain = git_state(project, ENVIRON)
    for name, value in (("diff.noprefix", "true"), ("diff.context", "9"), ("core.quotePath", "false")):
        git(project, "config", name, value)
    assert git_state(project, ENVIRON) == plain


@pytest.mark.parametrize("path", ["data/mnist.gz", "runs/digits/ledger.jsonl", "notes.txt"])
def test_data_and_results_beside_the_code_leave_the_tree_clean(project, path):
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text("x")
    assert git_state(project, ENVIRON).tree == "clean"


def test_a_touched_file_leaves_the_tree_clean(project):
    os.utime(project / "components" / "digest.py", (1, 1))
    assert git_state(project, ENVIRON).tree == "clean"


def test_without_git_nothing_is_known(project):
    assert git_state(project, {"PATH": ""}) == GitState(commit=None, tree="none", diff_sha256=None)


def test_outside_a_repository_nothing_is_known(tmp_path):
    environ = {**ENVIRON, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    assert git_state(tmp_path, environ) == GitState()


def test_before_the_first_commit_nothing_is_known(tmp_path):
    git(tmp_path, "init", "--quiet", ".")
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "digest.py").write_text("x")
    git(tmp_path, "add", ".")
    assert git_state(tmp_path, ENVIRON) == GitState()


def test_a_wheel_installed_inside_a_checkout_does_not_claim_its_commit(project):
    site = project / ".venv" / "lib" / "site-packages"
    (site / "components").mkdir(parents=True)
    (site / "components" / "digest.py").write_text("x")
    assert git_state(site, ENVIRON) == GitState()


def test_an_image_tells_the_commit_it_was_built_from(tmp_path):
    baked = {"PATH": "", "MNIST_TFX_GIT_COMMIT": "c" * 40, "MNIST_TFX_GIT_TREE": "clean"}
    assert git_state(tmp_path, baked) == GitState(commit="c" * 40, tree="clean")


def test_a_checkout_is_believed_more_than_the_environment(project):
    baked = {**ENVIRON, "MNIST_TFX_GIT_COMMIT": "c" * 40, "MNIST_TFX_GIT_TREE": "clean"}
    assert git_state(project, baked).commit == git(project, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "baked",
    [
        {"MNIST_TFX_GIT_COMMIT": "main"},
        {"MNIST_TFX_GIT_COMMIT": "c" * 41},
        {"MNIST_TFX_GIT_COMMIT": "c" * 40, "MNIST_TFX_GIT_TREE": "mostly clean"},
    ],
)
def test_a_baked_in_state_that_is_none_is_refused(tmp_path, baked):
    with pytest.raises(BadInput, match="MNIST_TFX_GIT_"):
        git_state(tmp_path, {"PATH": "", **baked})
