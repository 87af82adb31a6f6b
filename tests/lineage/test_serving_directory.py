"""What is served as the ledger knows it: foreign entries decide nothing, and stop a run before its first node."""

import shutil
import subprocess

import pytest
from click.testing import CliRunner
from command_line import in_process
from lineage.audited_copy import audited_copy

from components import serving
from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem
from components.serving import MAX_VERSION
from pipeline.cli.lineage import lineage
from pipeline.cli.serving import serving as serving_commands
from pipeline.config.pipeline_config import Reuse
from pipeline.config.request import Request
from pipeline.lineage import export, index, show
from pipeline.lineage.diff import diff
from pipeline.maintenance.gc import collect
from pipeline.maintenance.orphans import orphans
from pipeline.maintenance.prune import prune
from pipeline.maintenance.repair import repair
from pipeline.maintenance.rollback import rollback
from pipeline.predict import answer
from pipeline.process import remarks
from pipeline.provenance import signing
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.root.writable import link_in_its_place
from pipeline.runner import local
from pipeline.runner.progress import RunView
from pipeline.runner.reproduce import reproduce


@pytest.fixture
def paths(tmp_path):
    return audited_copy(tmp_path / "root")


def foreign_model(folder):
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"somebody else's")


ABOVE = {
    "an empty folder": lambda serving: (serving / "99").mkdir(),
    "a model": lambda serving: foreign_model(serving / "99"),
    "a file": lambda serving: (serving / "99").write_text(""),
    "the newest number in another spelling": lambda serving: shutil.copytree(serving / "1", serving / "+2"),
    "a link": lambda serving: (serving / "99").symlink_to("/"),
    "a link to an old version": lambda serving: (serving / "0").symlink_to("1"),
}


@pytest.mark.parametrize("kind", ABOVE)
def test_the_newest_is_the_newest_that_was_pushed(paths, kind):
    ABOVE[kind](paths.serving)
    assert ServingDirectory.of(paths).newest.version == 2
    assert show.show(paths.root).version == 2
    assert signing.target(paths.root, None) == paths.serving / "2"


def test_predict_asks_the_newest_that_was_pushed(paths, monkeypatch):
    monkeypatch.setattr(answer, "_geometry", lambda *_: None)
    foreign_model(paths.serving / "99")
    assert answer.choose(paths.root, None).served.version == 2


def test_a_push_whose_line_is_missing_is_ours_and_a_model_of_somebody_else_is_not(paths):
    shutil.copytree(paths.serving / "1", paths.serving / "3")
    directory = ServingDirectory.of(paths)
    assert ([one.version for one in directory.unrecorded], directory.newest.version) == ([3], 3)
    foreign_model(paths.serving / "4")
    assert [one.path for one in ServingDirectory.of(paths).foreign] == ["serving/4"]


def test_where_there_is_no_ledger_provenance_tells(paths):
    paths.ledger.unlink()
    foreign_model(paths.serving / "99")
    directory = ServingDirectory.of(paths)
    assert (directory.newest.version, [one.number for one in directory.foreign]) == (2, [99])


def test_a_second_push_of_the_same_bytes_does_not_make_a_version_younger(paths):
    before = ServingDirectory.of(paths).pushes[2]
    Ledger.open(paths.ledger).pushed(node="Pusher", run_id="again", version=2, digest=before.sha256)
    assert ServingDirectory.of(paths).pushes[2] == before


def test_a_pruned_version_is_not_recorded_any_more(paths):
    line = next(x for x in read_ledger(paths.ledger).lines if x.event == Event.PUSHED)
    Ledger.open(paths.ledger).pruned(run_id="prune", version=1, digest=line.details["sha256"])
    shutil.rmtree(paths.serving / "1")
    foreign_model(paths.serving / "1")
    directory = ServingDirectory.of(paths)
    assert [one.version for one in directory.recorded] == [2]
    assert "was pruned, and other bytes" in directory.foreign[0].what


@pytest.mark.parametrize("kind", ABOVE)
def test_repair_names_what_is_foreign_and_attaches_nothing(paths, kind):
    ABOVE[kind](paths.serving)
    before = paths.ledger.read_bytes()
    [left] = repair(paths.root, pytest.fail)
    assert (left.kind, left.settled) == ("left", False)
    assert "mv -- " in left.why
    assert paths.ledger.read_bytes() == before


def test_what_carries_no_provenance_is_not_read(paths):
    (paths.serving / "99").mkdir()
    (paths.serving / "99/saved_model.pb").write_bytes(b"")
    found = serving.versions(paths.serving)[-1]
    assert not found.as_pushed
    assert "digest" not in vars(found)


@pytest.mark.parametrize("command", [["show"], ["sign", "--key", __file__]], ids=["show", "sign"])
def test_a_command_that_takes_the_newest_says_what_tf_serving_may_load_instead(paths, command):
    (paths.serving / "99").mkdir()
    answer = CliRunner().invoke(lineage, [*command, "--root", str(paths.root)])
    assert "warning: serving/99: a folder that no push made" in answer.stderr


@pytest.mark.parametrize("kind", ABOVE)
@pytest.mark.parametrize("dry", [False, True], ids=["run", "run --dry-run"])
def test_a_run_is_refused_before_any_work_where_tf_serving_may_load_something_else(paths, kind, dry):
    ABOVE[kind](paths.serving)
    before, asked = paths.ledger.read_bytes(), (Request(root=paths.root), Reuse())
    with pytest.raises(EnvironmentProblem, match="move it out of there: mv") as caught:
        _ = local.plan(*asked, pytest.fail) if dry else local.run(*asked, RunView.__new__(RunView))
    assert caught.value.exit_code == 4
    assert paths.ledger.read_bytes() == before
    assert not paths.log("").parent.exists()


def test_a_fresh_root_with_a_version_of_somebody_else_is_refused_too(tmp_path):
    (tmp_path / "serving/1700000000").mkdir(parents=True)
    with pytest.raises(EnvironmentProblem, match=r"serving/1700000000: TensorFlow Serving may load this instead"):
        local.run(Request(root=tmp_path), Reuse(), RunView.__new__(RunView))


EXHAUSTED = {
    "the last number is claimed": lambda serving: (serving / ".versions").write_text(f"{MAX_VERSION}\n"),
    "a claim is damaged": lambda serving: (serving / ".versions").write_text("9" * 5000),
    "a version was copied to the last number": lambda serving: shutil.copytree(
        serving / "2", serving / str(MAX_VERSION)
    ),
}


@pytest.mark.parametrize("kind", EXHAUSTED)
@pytest.mark.parametrize("dry", [False, True], ids=["run", "run --dry-run"])
def test_a_run_is_refused_before_any_work_where_no_version_number_is_left(paths, kind, dry):
    EXHAUSTED[kind](paths.serving)
    asked = (Request(root=paths.root), Reuse())
    with pytest.raises(EnvironmentProblem, match=r"serving: no version number is left"):
        _ = local.plan(*asked, pytest.fail) if dry else local.run(*asked, RunView.__new__(RunView))
    assert not paths.log("").parent.exists()


LISTS_FOREIGN_ENTRIES = {
    "serving list": ("foreign", "a folder"),
    "serving prune --keep 2": ("left", "a folder"),
    "lineage orphans": ("orphans", "served-stranger"),
    "lineage show": (None, "a folder"),
}


@pytest.mark.parametrize("command", LISTS_FOREIGN_ENTRIES)
def test_of_very_many_foreign_entries_the_first_are_named_and_the_others_counted(paths, command):
    for number in range(100, 130):
        (paths.serving / str(number)).mkdir()
    field, word = LISTS_FOREIGN_ENTRIES[command]
    asked = (*command.split(), "--root", paths.root)
    answer = in_process(*asked)
    lines = [line for line in (answer.out + answer.err).splitlines() if word in line or "more:" in line]
    assert len(lines) == remarks.MOST + 1
    assert "and 10 more: " in lines[-1]
    assert field is None or len(in_process(*asked, "--json").json[field]) == 30


@pytest.mark.parametrize("name", ["01", "0", "-7"])
def test_what_tf_serving_would_not_load_instead_is_a_warning(paths, name):
    foreign_model(paths.serving / name)
    told = []
    ServingDirectory.of(paths).require_ours(told.append)
    [line] = told
    assert line.startswith(f"warning: serving/{name}: a folder")
    assert "left alone" in line


def test_a_refusal_is_one_line_that_tells_how_many_there_are(paths):
    (paths.serving / "0").mkdir()
    for name in ("7", "8"):
        (paths.serving / name).mkdir()
    with pytest.raises(EnvironmentProblem, match=r"serving/7: .* and 1 more that `serving list` names"):
        ServingDirectory.of(paths).require_ours(pytest.fail)


def test_the_remedy_moves_a_link_and_not_what_it_points_at(paths, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (paths.serving / "9").symlink_to(tmp_path / "elsewhere")
    [entry] = ServingDirectory.of(paths).foreign
    subprocess.run(entry.remedy, shell=True, check=True)
    assert (tmp_path / "elsewhere").is_dir()
    assert ServingDirectory.of(paths).foreign == ()


def test_nothing_behind_a_link_is_read(paths):
    (paths.serving / "9").symlink_to("1")
    with pytest.raises(BadInput, match="no such version"):
        show.show(paths.root, 9)


def linked(paths, tmp_path):
    paths.serving.rename(tmp_path / "volume")
    paths.serving.symlink_to(tmp_path / "volume")


WORKS_ON_THE_DIRECTORY = {
    "run": lambda root: local.run(Request(root=root), Reuse(), RunView.__new__(RunView)),
    "run --dry-run": lambda root: local.plan(Request(root=root), Reuse(), pytest.fail),
    "rollback": lambda root: rollback(root, 1, pytest.fail),
    "prune": lambda root: prune(root, 1),
    "repair": lambda root: repair(root, pytest.fail),
    "gc": lambda root: collect(root, pytest.fail, keep_runs=0),
    "orphans": lambda root: orphans(root, pytest.fail),
    "predict": lambda root: answer.choose(root, None),
    "predict of a version": lambda root: answer.choose(root, 2),
    "show": show.show,
    "show of a version": lambda root: show.show(root, 1),
    "diff": lambda root: diff.diff(root, 1, 2),
    "trace": index.open_lineage,
    "export": lambda root: export.export(root, None, "slsa"),
    "export of a version": lambda root: export.export(root, 1, "slsa"),
    "reproduce": lambda root: reproduce.reproduce(root, 1, reproduce.Options(), RunView.__new__(RunView)),
    "sign": lambda root: signing.target(root, None),
    "sign of a version": lambda root: signing.target(root, "1"),
}


@pytest.mark.parametrize("command", WORKS_ON_THE_DIRECTORY)
def test_a_serving_directory_that_is_a_link_is_refused_before_any_work(paths, tmp_path, command):
    linked(paths, tmp_path)
    before = tree_digest(paths.root), tree_digest(tmp_path / "volume")
    with pytest.raises(EnvironmentProblem, match=r"serving: a link, which is not followed: .* && mv -- ") as caught:
        WORKS_ON_THE_DIRECTORY[command](paths.root)
    assert "\n" not in str(caught.value)
    assert (tree_digest(paths.root), tree_digest(tmp_path / "volume")) == before


@pytest.mark.parametrize("target", ["volume", "gone", "serving"], ids=["a folder", "nothing", "itself"])
def test_a_fresh_root_whose_serving_directory_is_a_link_is_refused_too(tmp_path, target):
    (tmp_path / "volume").mkdir()
    (tmp_path / "serving").symlink_to(target)
    with pytest.raises(EnvironmentProblem, match=r"serving: a link, which is not followed"):
        local.run(Request(root=tmp_path), Reuse(), RunView.__new__(RunView))
    assert not (tmp_path / "ledger.jsonl").exists()


def test_what_mends_a_linked_serving_directory_is_in_the_message(paths, tmp_path):
    linked(paths, tmp_path)
    command = link_in_its_place(paths).hint.partition(";")[0]
    subprocess.run(command, shell=True, check=True)
    assert ServingDirectory.of(paths).newest.version == 2


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_serving_list_names_a_link_in_place_of_the_directory(paths, tmp_path, form):
    linked(paths, tmp_path)
    listed = in_process("serving", "list", "--root", paths.root, *form)
    assert "a link, which is not followed" in listed.out + listed.err
    assert listed.code == 0
    assert not form or (listed.json["versions"], listed.json["link"]["where"]) == ([], str(paths.serving))


IN_THE_PLACE_OF_A_VERSION = {
    "nothing": lambda place: place.unlink(missing_ok=True),
    "a link to another": lambda place: place.symlink_to("2"),
    "a file": lambda place: place.write_text(""),
}


@pytest.mark.parametrize("kind", IN_THE_PLACE_OF_A_VERSION)
def test_serving_list_names_a_version_that_was_pushed_and_is_gone(paths, kind):
    shutil.rmtree(paths.serving / "1")
    IN_THE_PLACE_OF_A_VERSION[kind](paths.serving / "1")
    asked = ("serving", "list", "--root", paths.root)
    assert "warning: version 1 was pushed and not pruned, and is not there" in in_process(*asked).err
    assert in_process(*asked, "--json").json["missing"] == [1]


def test_serving_list_names_all_that_are_gone_and_none_that_was_pruned(paths):
    asked = ["list", "--root", str(paths.root)]
    prune(paths.root, 1)
    assert "pushed and not pruned" not in invoke(asked).stderr
    shutil.rmtree(paths.serving)
    assert "warning: version 2 was pushed and not pruned" in invoke(asked).stderr


def invoke(asked):
    return CliRunner().invoke(serving_commands, asked)
