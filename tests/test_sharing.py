"""One serving volume for pods of several users: what one makes the next can lock, continue and remove."""

import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.digest import tree_digest
from components.errors import EnvironmentProblem
from components.publish import publish
from components.serving import versions
from pipeline.kubeflow import places

FS_GROUP, ALICE, BOB = 2000, 10001, 12345

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@pytest.fixture
def pod() -> Iterator[Path]:
    """The folder that stands for `/`, which other users reach; pytest's own folders are closed to them."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "serving").mkdir()
    yield folder
    shutil.rmtree(folder)


def as_user(user: int, function: Callable[[], object]) -> str:
    """Calls a function in a process of a user in the volume's group, and returns its answer or its error as text."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([FS_GROUP])
            os.setgid(user)
            os.setuid(user)
            os.umask(0o027)
            text = str(function())
        except BaseException as err:  # noqa: BLE001  # whatever it is, the test is to see it
            text = f"{type(err).__name__}: {err}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def model(pod: Path, name: str) -> tuple[Path, Path, Path, str]:
    """Returns what `publish` takes, of a model of this name."""
    folder = pod / name
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(name)
    (folder / "variables" / "variables.index").write_text("index")
    provenance = pod / f"{name}.json"
    provenance.write_text("{}")
    return folder, pod / "serving", provenance, tree_digest(folder)


def give_to_group(folder: Path) -> None:
    """Does what Kubernetes does to a volume with an `fsGroup`."""
    os.chown(folder, 0, FS_GROUP)
    folder.chmod(0o2775)


@as_root
def test_pods_of_two_users_push_to_one_volume_and_either_may_prune_the_others_version(pod: Path) -> None:
    give_to_group(pod / "serving")
    first, second = model(pod, "first"), model(pod, "second")
    assert as_user(ALICE, lambda: publish(*first).version) == "1"
    assert as_user(BOB, lambda: publish(*second).version) == "2"
    assert as_user(ALICE, lambda: [one.digest for one in versions(pod / "serving")]) == str([first[3], second[3]])
    assert as_user(ALICE, lambda: shutil.rmtree(pod / "serving" / "2")) == "None"
    assert as_user(BOB, lambda: publish(*second).version) == "3"


@as_root
def test_a_folder_of_its_own_on_the_volume_is_shared_as_well(pod: Path) -> None:
    give_to_group(pod / "serving")
    made = {user: model(pod, name) for user, name in ((ALICE, "one"), (BOB, "two"))}
    pushes = [
        as_user(user, functools.partial(publish, saved, serving / "digits", *rest))
        for user, (saved, serving, *rest) in made.items()
    ]
    assert ["version=1," in pushes[0], "version=2," in pushes[1]] == [True, True], pushes


def modes(folder: Path) -> set[str]:
    return {oct(stat.S_IMODE(path.stat().st_mode) & 0o070) for path in folder.rglob("*")}


@pytest.mark.parametrize(("mode", "group"), [(0o775, {"0o70", "0o60"}), (0o755, {"0o50", "0o40"})])
def test_the_group_gets_what_the_owner_has_only_in_a_folder_that_it_may_write(
    pod: Path, mode: int, group: set[str]
) -> None:
    (pod / "serving").chmod(mode)
    before = os.umask(0o022)
    try:
        publish(*model(pod, "one"))
    finally:
        os.umask(before)
    assert modes(pod / "serving") == group


def find(monkeypatch: pytest.MonkeyPatch, pod: Path) -> Callable[[], Path]:
    monkeypatch.setenv(places.POD_ROOT, str(pod))
    return lambda: places.writable("/serving")


@as_root
@pytest.mark.parametrize("closed", ["", "/.lock", "/.versions"])
def test_a_volume_that_a_pods_user_cannot_push_to_is_refused_with_what_opens_it(
    pod: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    give_to_group(pod / "serving")
    if closed:
        (pod / f"serving{closed}").touch(0o644)
    else:
        (pod / "serving").chmod(0o755)
    message = as_user(BOB, find(monkeypatch, pod))
    assert message.startswith(f"EnvironmentProblem: /serving{closed}: this pod may not write to the serving volume")
    assert f"wanted writable for user {BOB}, groups {FS_GROUP}, {BOB}, got owner 0:" in message
    assert "fsGroup" in message
    assert str(pod) not in message


@as_root
def test_a_volume_that_a_pods_user_can_push_to_is_taken(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_to_group(pod / "serving")
    first = model(pod, "one")
    assert as_user(ALICE, lambda: publish(*first).version) == "1"
    assert as_user(BOB, find(monkeypatch, pod)) == str(pod / "serving")


def test_a_directory_that_is_not_there_yet_can_be_made(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(places.POD_ROOT, str(pod))
    assert places.writable("/serving/digits/today") == pod / "serving/digits/today"


def test_the_data_driver_refuses_such_a_volume_before_anything_is_trained(
    pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.kubeflow.pod import data_driver

    monkeypatch.setenv(places.POD_ROOT, str(pod))
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(EnvironmentProblem, match="may not write to the serving volume"):
        data_driver.run(None, "digits", "/serving", pod)  # type: ignore[arg-type]  # nothing of it is read before
