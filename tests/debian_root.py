"""Roots of Debian, without a container engine: debootstrap, mounts in a namespace of their own, chroot.

The kernel takes every mount down when the process of the namespace ends, however it ends.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

RELEASES: Final = {"13": "trixie"}
CERTIFICATES: Final = "/run/certificates.crt"
PASSED_ON: Final = re.compile(r"(UV|PIP)_.*(INDEX|TIMEOUT|HOST).*|(https?|no|all)_proxy", re.IGNORECASE)
"""How this machine reaches a package index: for installing alone, and written nowhere."""

DEVICES: Final = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
SHARED_MEMORY: Final = "64m"
"""As a container has it by default."""

ALL_PASS: Final = r"INTEGRITY +PASS.*\nCOMPLETENESS +PASS.*\nPOLICY +PASS"
"""What an audit prints of a version that nothing is wrong with."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A command inside a root.

    Attributes:
      what: in words.
      command: run by `sh -c` as the root's user, or as its root.
      wanted: a pattern that the whole of its output has to hold.
      as_root: to see every file.
    """

    what: str
    command: str
    wanted: str = ""
    as_root: bool = False


def obstacle() -> str | None:
    """Return why no root can be made on this machine; None if one can."""
    if os.geteuid() != 0:
        return "mounts and debootstrap take root"
    missing = next((tool for tool in ("debootstrap", "setpriv", "unshare") if shutil.which(tool) is None), None)
    if missing is not None:
        return f"no {missing}: `apt-get install debootstrap util-linux`"
    problem = overlay_problem()
    return None if problem is None else f"this machine mounts no overlay: {problem}"


def overlay_problem(place: Path | None = None) -> str | None:
    """Return why no overlay can be mounted on the file system of a folder, by default that of temporary files."""
    # A container's root may be root without the right to mount, and its files may themselves be an overlay.
    with tempfile.TemporaryDirectory(dir=place) as folder:
        mount = "mkdir l u w m && mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m"
        tried = subprocess.run(in_namespace("sh", "-c", mount), cwd=folder, capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else tried.stderr.strip()


def in_namespace(*command: object) -> list[str]:
    """Return a command so that its mounts and processes are its own, and end with it and with whoever started it."""
    # Both deaths count: the first process of a namespace and `unshare` beside it take no SIGTERM.
    parent = ["setpriv", "--pdeathsig", "KILL"]
    return [*parent, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *map(str, command)]


def bootstrap(root: Path, release: str) -> None:
    """Make a minimal root of a Debian release, from where this machine's apt gets Debian."""
    command = ["nice", "debootstrap", "--variant=minbase", RELEASES[release], str(root), *_mirror()]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # a line for each package, twice


def overlay(root: Path, upper: Path, work: Path, *lower: Path) -> None:
    """Mount an overlay on folders of which only `upper` is written to; the topmost of `lower` comes first."""
    for folder in (root, upper, work):
        folder.mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work}"
    run("mount", "-t", "overlay", "overlay", "-o", layers, root)


def furnish(root: Path, shared_memory: str = SHARED_MEMORY) -> None:
    """Mount what a container finds, and what leads to the network; nothing of it stays in the root."""
    run("mount", "-t", "proc", "proc", root / "proc")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev")
    for name, (major, minor) in DEVICES.items():
        os.mknod(root / "dev" / name, 0o20666, os.makedev(major, minor))
        (root / "dev" / name).chmod(0o666)
    (root / "dev" / "fd").symlink_to("/proc/self/fd")
    (root / "dev" / "shm").mkdir()
    run("mount", "-t", "tmpfs", "-o", f"mode=1777,size={shared_memory}", "shm", root / "dev" / "shm")
    (root / "dev" / "pts").mkdir()
    run("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=0620", "devpts", root / "dev" / "pts")
    (root / "dev" / "ptmx").symlink_to("pts/ptmx")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "run")
    for name in ("resolv.conf", "hosts"):
        (root / "etc" / name).touch()
        run("mount", "--bind", f"/etc/{name}", root / "etc" / name)
    if bundle := os.environ.get("SSL_CERT_FILE"):
        shutil.copyfile(bundle, root / CERTIFICATES.lstrip("/"))


def chroot(root: Path, command: str, user: str = "0", cwd: str = "/") -> list[str]:
    """Return the arguments that run a shell command in a root."""
    return ["/usr/sbin/chroot", f"--userspec={user}", str(root), "/bin/sh", "-c", f"cd {cwd} && {command}"]


def passes(check: Check, root: Path, user: str, cwd: str, env: Mapping[str, str]) -> bool:
    """Print one line about a check, and what its command printed; return whether it passed."""
    command = chroot(root, check.command) if check.as_root else chroot(root, check.command, user, cwd)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    good = done.returncode == 0 and re.search(check.wanted, done.stdout) is not None
    click.echo(f"{'PASS' if good else f'FAIL (exit {done.returncode})'} {check.what}")
    click.echo("".join(f"    {line}\n" for line in (done.stdout + done.stderr).splitlines()), nl=False)
    return good


def way_out() -> dict[str, str]:
    """Return the variables by which a command in a root reaches the package index that this machine uses."""
    certificates = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), CERTIFICATES) if "SSL_CERT_FILE" in os.environ else {}
    return {**certificates, **{name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}}


def run(*command: object, env: Mapping[str, str] | None = None) -> None:
    """Run a command at a low priority.

    Raises:
      CalledProcessError: if it fails.
    """
    subprocess.run(["nice", *map(str, command)], check=True, env=env)


def _mirror() -> list[str]:
    """Return where this machine's apt gets Debian from; nothing leaves the choice to debootstrap."""
    command = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split()[1] for line in listed.splitlines() if line.startswith("Debian ")][:1]
