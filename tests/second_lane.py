"""The second lane of the lock (TFX 1.21), in a Debian 13 root: all tests, or a few checks.

    python tests/second_lane.py [--short] [ARGUMENTS OF PYTEST]

Takes root, debootstrap and overlays. The root and the environment are kept in ~/.cache/mnist-tfx and made again when
what they are made from changes; a run works on a copy of the checkout, and nothing that it writes is kept.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import cached_layers
import click
import debian_root
from cached_layers import layer
from debian_root import ALL_PASS, Check

PROJECT: Final = Path(__file__).resolve().parents[1]
NO_ROOT: Final = 4
"""Exit code: the machine is at fault, and nothing was tried."""

RELEASE: Final = "13"
PYTHON: Final = "3.13"
PACKAGES: Final = (
    "ca-certificates git make python3 python3-venv "
    "g++ libc6-dev python3-dev "  # one locked distribution has no wheel for this lane
    "graphviz mariadb-server openssl"  # tests skip without them
)

INSIDE: Final = "/src/mnist-tfx"
"""Where the checkout lies in the root: scripts of the environment name it, so it is the same for every checkout."""

IMPORT_ALL: Final = (
    "import importlib, pkgutil, components, mnist_tfx, pipeline\n"
    "names = [m.name for p in (components, mnist_tfx, pipeline) for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.')]\n"
    "for name in names:\n"
    "    if not name.endswith('__main__'): importlib.import_module(name)\n"
    "print(len(names), 'modules')\n"
)

INSTALLED: Final = (
    Check(
        what="install", command=f"make PYTHON={PYTHON} install && .venv/bin/mnist-tfx --version", wanted=r"version \d"
    ),
    Check(what="import contracts", command=".venv/bin/lint-imports", wanted=r" 0 broken"),
)
WORKS: Final = (
    Check(
        what="import of every module", command=f".venv/bin/python -c {shlex.quote(IMPORT_ALL)}", wanted=r"\d modules"
    ),
    Check(what="run on the digits", command=".venv/bin/mnist-tfx run 2>&1", wanted=r"served +version 1 "),
    Check(what="audit", command=".venv/bin/mnist-tfx lineage audit", wanted=ALL_PASS),
)
"""What has to work wherever the second lane is installed: in a root of its own here, and in the image."""

CHECKS: Final = (*INSTALLED, *WORKS)


def copy_checkout(target: Path) -> None:
    """Copy the checkout with its history; what is not committed is committed in the copy, so that an audit passes."""
    git("clone", "--quiet", str(PROJECT), str(target), folder=PROJECT)
    changed = git("diff", "--name-only", "--no-renames", "-z", "HEAD", folder=PROJECT)
    changed += git("ls-files", "--others", "--exclude-standard", "-z", folder=PROJECT)
    for name in filter(None, changed.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / name).is_file():
            shutil.copy2(PROJECT / name, target / name)
        else:
            (target / name).unlink()
    commit(target)
    if (uv := PROJECT / ".tools" / "bin" / "uv").exists():
        (target / ".tools" / "bin").mkdir(parents=True)
        shutil.copy2(uv, target / ".tools" / "bin" / "uv")


def commit(folder: Path) -> None:
    """Commit all there is in a checkout."""
    author = ("-c", "user.name=second lane", "-c", "user.email=second-lane@localhost")
    git("add", "--all", folder=folder)
    git(*author, "commit", "--quiet", "--allow-empty", "-m", "The checkout as it is", folder=folder)


def git(*arguments: str, folder: Path) -> str:
    """Return what git prints in a folder.

    Raises:
      CalledProcessError: if it fails.
    """
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Root:
    """A Debian root with the environment and a copy of the checkout, mounted in a folder.

    Args:
      folder: empty; gets the copy, and what is written in the root.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "root"
        try:
            debian = layer("debian", repr((RELEASE, PACKAGES)).encode(), _bootstrap)
        except subprocess.CalledProcessError as err:
            click.echo(f"second lane: no Debian {RELEASE} root: exit {err.returncode} of {shlex.join(err.cmd[:3])} ...")
            raise SystemExit(NO_ROOT) from err
        debian_root.overlay(self.path, folder / "upper", folder / "work", debian)
        debian_root.furnish(self.path, shared_memory="2g")
        copy_checkout(folder / "checkout")
        self._bind(folder / "checkout", INSIDE)
        if (shared := PROJECT.parent / "shared").exists():
            self._bind(shared.resolve(), str(Path(INSIDE).parent / "shared"), "ro")
        uv_cache = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
        uv_cache.mkdir(parents=True, exist_ok=True)
        self._bind(uv_cache, "/root/.cache/uv")
        installer = re.findall(r"^UV_VERSION.*", (PROJECT / "Makefile").read_text(), re.MULTILINE)
        made_from = repr((debian.name, PYTHON, installer)).encode() + (PROJECT / "requirements.lock").read_bytes()
        environment = layer("environment", made_from, self._install)
        venv = self.path / INSIDE.lstrip("/") / ".venv"
        debian_root.overlay(venv, folder / "venv-upper", folder / "venv-work", environment)

    def run(self, command: str) -> int:
        """Run a shell command in the copy of the checkout and return its exit code."""
        arguments = debian_root.chroot(self.path, command, cwd=INSIDE)
        return subprocess.run(arguments, env=variables(), check=False).returncode

    def _install(self, venv: Path) -> None:
        self._bind(venv, f"{INSIDE}/.venv")
        if self.run(f"make PYTHON={PYTHON} install") != 0:
            raise SystemExit("second lane: `make install` failed")
        debian_root.run("umount", self.path / INSIDE.lstrip("/") / ".venv")

    def _bind(self, source: Path, target: str, mode: str = "rw") -> None:
        place = self.path / target.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        debian_root.run("mount", "--bind", "-o", mode, source, place)


def _bootstrap(folder: Path) -> None:
    debian_root.run("cp", "--archive", f"{cached_layers.debian(RELEASE)}/.", folder)
    debian_root.furnish(folder)
    apt = "DEBIAN_FRONTEND=noninteractive apt-get"
    install = f"{apt} update -qq && {apt} install -qq --no-install-recommends {PACKAGES} > /dev/null && {apt} clean"
    debian_root.run(*debian_root.chroot(folder, install), env=variables())
    for mounted in ("proc", "dev", "run", "etc/resolv.conf", "etc/hosts"):
        debian_root.run("umount", "--recursive", folder / mounted)


def variables() -> dict[str, str]:
    """Return the environment of a command in the root."""
    own = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    # A mounted cache is another file system to uv; Debian's Python is the one that is meant.
    uv = {"UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never"}
    return {**own, **uv, **debian_root.way_out()}


def outside() -> int:
    """Run this program again in a namespace, with a folder that nothing is mounted in any more when it is removed."""
    if (why := debian_root.obstacle()) is not None:
        click.echo(f"second lane: {why}; with glibc 2.38 or newer, `make PYTHON={PYTHON} test` needs no root", err=True)
        return NO_ROOT
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the folder is removed
    with tempfile.TemporaryDirectory(prefix="second-lane-") as folder:
        command = debian_root.in_namespace(sys.executable, __file__, "--folder", folder, *sys.argv[1:])
        return subprocess.run(command, check=False).returncode


def main() -> int:
    """Run the tests or the checks; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="install, imports, a run on the digits and its audit")
    parser.add_argument("--folder", type=Path, help="of the mounts; this program gives it to itself")
    arguments, of_pytest = parser.parse_known_args()
    if arguments.folder is None:
        return outside()
    root = Root(arguments.folder)
    if arguments.short:
        # A list, so that the checks after one that fails are made too.
        return 0 if all([debian_root.passes(one, root.path, "0", INSIDE, variables()) for one in CHECKS]) else 1  # noqa: C419
    tests = f"install && .venv/bin/pytest {shlex.join(of_pytest)}" if of_pytest else "test-all"
    return root.run(f"make PYTHON={PYTHON} {tests}")


if __name__ == "__main__":
    sys.exit(main())
