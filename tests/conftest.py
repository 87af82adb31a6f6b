"""One digits run for the whole session, made once through the command line and copied by whoever changes something."""

import shutil
import signal
from pathlib import Path

import pytest
from command_line import Answer, mnist_tfx
from hypothesis import settings

# A time limit to an example fails on a machine that has other things to do, and finds nothing.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# A shell that starts the tests in the background has SIGINT ignored, `nohup` SIGHUP, and every process that a test starts and
# interrupts would inherit that.
for number, action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, action)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, then those that start TFX, so that no worker is left with minutes at the end."""
    marked = {marker: {item.path for item in items if item.get_closest_marker(marker)} for marker in ("slow", "e2e")}
    items.sort(key=lambda item: (item.path not in marked["slow"], item.path not in marked["e2e"]))


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The UCI digits as one raw IDX pair."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    answer = mnist_tfx("data", "fetch", "digits", "--to", folder)
    assert answer.code == 0, answer.err
    return folder


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, digits_folder: Path) -> tuple[Path, Answer]:
    """The root and the answer of a first run on the digits; tests that change the root copy it (`root`)."""
    root = tmp_path_factory.mktemp("runs") / "digits"
    answer = mnist_tfx("run", "--data", digits_folder, "--root", root, "--json")
    assert answer.code == 0, answer.err + answer.out
    return root, answer


@pytest.fixture
def root(first_run: tuple[Path, Answer], tmp_path: Path) -> Path:
    """A copy of the first run's root, to do with as one likes."""
    copy = tmp_path / "root"
    shutil.copytree(first_run[0], copy, symlinks=True)
    return copy
