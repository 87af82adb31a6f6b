"""kubeflow/Dockerfile -> the root of its image, made without a Docker engine, and checked from inside as its user.

    python tests/clean_root.py FOLDER [--stage cpu] [--commit HASH] [--tree clean]

Takes root, debootstrap and overlays. A foreign image is a new root of the same Debian; a stage is an overlay on the one
that it starts from; COPY takes what a build would send; RUN is a chroot. Every mount is made in a namespace of its own,
which the kernel takes down when this process ends, however it ends.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click
import dockerfile
from dockerfile import Instruction, Stage

PROJECT: Final = Path(__file__).resolve().parents[1]
RELEASES: Final = {"13": "trixie"}
CERTIFICATES: Final = "/run/certificates.crt"
PASSED_ON: Final = re.compile(r"(UV|PIP)_.*(INDEX|TIMEOUT|HOST).*|(https?|no|all)_proxy", re.IGNORECASE)
"""How this machine reaches a package index: for the build alone, and written nowhere."""

DEVICES: Final = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
SHARED_MEMORY: Final = "64m"
"""As a container has it by default."""

TOOLS: Final = ("cc", "gcc", "g++", "c++", "clang", "make", "ld", "as", "pip", "pip3", "uv", "uvx")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A command inside the image.

    Attributes:
      what: in words.
      command: run by `sh -c` as the image's user, or as root.
      wanted: a pattern that the whole of its output has to hold.
      as_root: to see every file.
    """

    what: str
    command: str
    wanted: str = ""
    as_root: bool = False


CHECKS: Final = (
    Check(what="runs as a user", command="id -u", wanted=r"\A10001\n\Z"),
    Check(what="imports", command="python -c 'import pipeline.kubeflow.names'", wanted=r"\A\Z"),
    Check(what="version", command="mnist-tfx --version", wanted=r"mnist-tfx, version \d"),
    Check(what="doctor", command="mnist-tfx doctor", wanted="lane two"),
    Check(what="run on the digits", command="mnist-tfx run --root runs/digits 2>&1", wanted=r"served +version 1 "),
    Check(what="audit", command="mnist-tfx lineage audit --root runs/digits", wanted="POLICY +PASS"),
    Check(
        what="has no compiler and no installer",
        command=rf"find / -xdev -type f,l \( {' -o '.join(f'-name {tool}' for tool in TOOLS)} \) -perm /111; "
        r"find / -xdev -type d \( -name pip -o -name uv \) -path '*-packages/*' -prune",
        wanted=r"\A\Z",
        as_root=True,
    ),
    Check(
        what="everything is root's but the folders to write to",
        command="find / -xdev ! -user root ! -user _apt ! -path '/home/mnist-tfx*' ! -path '/tmp/*'",
        wanted=r"\A(/(gcs|minio|s3|serving)\n){4}\Z",
        as_root=True,
    ),
    Check(
        what="nothing is anybody's to write to",
        command="find / -xdev ! -type l -perm -0002 ! -perm -1000",
        wanted=r"\A\Z",
        as_root=True,
    ),
)


class Builder:
    """Makes the stages of a Dockerfile below a folder.

    Args:
      folder: gets `image`, `context` and, per stage, `stages/<name>/{upper,work,root}`.
      stages: of the Dockerfile.
    """

    def __init__(self, folder: Path, stages: tuple[Stage, ...]) -> None:
        self.folder = folder
        self.stages = stages
        self._mounted: dict[str, Path] = {}

    def root(self, name: str) -> Path:
        """Returns the root of a stage, made if need be."""
        if name not in self._mounted:
            [stage] = [stage for stage in self.stages if stage.name == name]
            self._mounted[name] = self._overlay(stage)
            before = [step for other in dockerfile.ancestry(name, self.stages)[:-1] for step in other.instructions]
            for step in stage.instructions:
                self._follow(stage, step, dockerfile.environment(before))
                before.append(step)
        return self._mounted[name]

    def _overlay(self, stage: Stage) -> Path:
        known = {other.name for other in self.stages}
        if stage.base in known:
            self.root(stage.base)
        chain = dockerfile.ancestry(stage.name, self.stages)
        below = [self._part(other.name, "upper") for other in reversed(chain[:-1])]
        upper, work, root = (self._part(stage.name, part) for part in ("upper", "work", "root"))
        for folder in (upper, work, root):
            folder.mkdir(parents=True)
        lower = ":".join(map(str, [*below, self._foreign(chain[0].base)]))
        _sh("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", root)
        _furnish(root)
        return root

    def _part(self, stage: str, part: str) -> Path:
        return self.folder / "stages" / stage / part

    def _foreign(self, image: str) -> Path:
        root = self.folder / "image"
        if not root.exists():
            found = re.match(r"debian:(\d+)", image)
            if found is None or found[1] not in RELEASES:
                raise ValueError(f"FROM {image}: wanted debian of {', '.join(RELEASES)}")
            _sh("debootstrap", "--variant=minbase", RELEASES[found[1]], root, *_mirror())
        return root

    def _follow(self, stage: Stage, step: Instruction, variables: Mapping[str, str]) -> None:
        click.echo(f"{stage.name}: {step.word} {step.value}")
        if step.word == "RUN":
            every = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables, **_way_out()}
            _sh(*_chroot(self.root(stage.name), step.value, user="0", cwd="/"), env=every)
        elif step.word == "COPY":
            source = step.option("from")
            self._copy(self.root(source) if source else self._context(), step.words, self.root(stage.name))
        elif step.word == "WORKDIR":
            (self.root(stage.name) / step.value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.word not in ("ENV", "LABEL", "USER", "CMD"):
            raise ValueError(f"{stage.name}: {step.word} {step.value}: not known here")

    def _copy(self, origin: Path, words: list[str], root: Path) -> None:
        *sources, target = words
        destination = root / target.lstrip("/")
        destination.mkdir(parents=True, exist_ok=True)
        for source in (origin / source.lstrip("/") for source in sources):
            what = f"{source}/." if source.is_dir() else source
            # Owners are not among what is preserved: like a build's, the copies are root's.
            _sh("cp", "--recursive", "--preserve=mode,timestamps,links", what, destination)

    def _context(self) -> Path:
        context = self.folder / "context"
        if not context.exists():
            for name in build_context(PROJECT):
                (context / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, context / name)
        return context


def build_context(project: Path) -> Iterator[str]:
    """Yields what a build is sent: files that git does not ignore and Dockerfile.dockerignore lets through."""
    ignore = (project / "kubeflow" / "Dockerfile.dockerignore").read_text().splitlines()
    kept = tuple(line[1:] for line in ignore if line.startswith("!"))
    listed = subprocess.run(
        ["git", "-C", str(project), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in listed.rstrip("\0").split("\0"):
        if any(name == path or name.startswith(f"{path}/") for path in kept) and (project / name).is_file():
            yield name


def check(root: Path, stage: str, stages: tuple[Stage, ...]) -> bool:
    """Prints one line per check, and what a failing one printed; returns whether all passed."""
    steps = list(dockerfile.inherited(stage, stages))
    variables, user = dockerfile.environment(steps), f"{dockerfile.user(steps)}:0"
    passed = True
    for wanted in CHECKS:
        who, cwd = ("0", "/") if wanted.as_root else (user, variables["HOME"])
        command = _chroot(root, wanted.command, who, cwd)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        good = done.returncode == 0 and re.search(wanted.wanted, done.stdout) is not None
        click.echo(f"{'PASS' if good else f'FAIL (exit {done.returncode})'} {wanted.what}")
        click.echo("".join(f"    {line}\n" for line in (done.stdout + done.stderr).splitlines()), nl=False)
        passed = passed and good
    return passed


def _chroot(root: Path, command: str, user: str, cwd: str) -> list[str]:
    return ["/usr/sbin/chroot", f"--userspec={user}", str(root), "/bin/sh", "-c", f"cd {cwd} && {command}"]


def _furnish(root: Path) -> None:
    """Mounts what a container finds, and what leads to the network; nothing of it stays in the stage."""
    _sh("mount", "-t", "proc", "proc", root / "proc")
    _sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev")
    for name, (major, minor) in DEVICES.items():
        os.mknod(root / "dev" / name, 0o20666, os.makedev(major, minor))
        (root / "dev" / name).chmod(0o666)
    (root / "dev" / "fd").symlink_to("/proc/self/fd")
    (root / "dev" / "shm").mkdir()
    _sh("mount", "-t", "tmpfs", "-o", f"mode=1777,size={SHARED_MEMORY}", "shm", root / "dev" / "shm")
    _sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "run")
    for name in ("resolv.conf", "hosts"):
        (root / "etc" / name).touch()
        _sh("mount", "--bind", f"/etc/{name}", root / "etc" / name)
    if bundle := os.environ.get("SSL_CERT_FILE"):
        shutil.copyfile(bundle, root / CERTIFICATES.lstrip("/"))


def _way_out() -> dict[str, str]:
    certificates = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), CERTIFICATES) if "SSL_CERT_FILE" in os.environ else {}
    return {**certificates, **{name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}}


def _mirror() -> list[str]:
    """Returns where this machine's apt gets Debian from; nothing leaves the choice to debootstrap."""
    command = ["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split()[1] for line in listed.splitlines() if line.startswith("Debian ")][:1]


def _sh(*command: object, env: Mapping[str, str] | None = None) -> None:
    subprocess.run(["nice", *map(str, command)], check=True, env=env)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="gets the roots; 8 GB, 15 with --stage gpu")
    parser.add_argument("--stage", default="cpu")
    parser.add_argument("--commit", default="0" * 40, help="what the image is told to stand on")
    parser.add_argument("--tree", default="clean")
    return parser.parse_args()


def main() -> int:
    """Builds and checks; returns the exit code."""
    arguments = _arguments()
    given = {"GIT_COMMIT": arguments.commit, "GIT_TREE": arguments.tree}
    stages = dockerfile.stages((PROJECT / "kubeflow" / "Dockerfile").read_text(), given)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    root = Builder(arguments.folder.resolve(), stages).root(arguments.stage)
    return 0 if check(root, arguments.stage, stages) else 1


if __name__ == "__main__":
    if "CLEAN_ROOT_NAMESPACE" not in os.environ:
        os.environ["CLEAN_ROOT_NAMESPACE"] = "1"
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        os.execvp(own[0], [*own, sys.executable, *sys.argv])
    sys.exit(main())
