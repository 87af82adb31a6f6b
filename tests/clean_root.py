"""The image of kubeflow/Dockerfile, made without a Docker engine and checked from inside as its user.

    python tests/clean_root.py FOLDER [--stage cpu] [--commit HASH] [--tree clean]

Takes root, debootstrap and overlays. A foreign image is a new root of the same Debian; a stage is an overlay on the one
that it starts from; COPY takes what a build would send; RUN is a chroot (`debian_root`).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click
import debian_root
import dockerfile
from debian_root import ALL_PASS, Check
from dockerfile import Instruction, Stage

PROJECT: Final = Path(__file__).resolve().parents[1]
INSIDE: Final = "CLEAN_ROOT_NAMESPACE"
TOOLS: Final = ("cc", "gcc", "g++", "c++", "clang", "make", "ld", "as", "pip", "pip3", "uv", "uvx")

CHECKS: Final = (
    Check(what="runs as a user", command="id -u", wanted=r"\A10001\n\Z"),
    Check(what="imports", command="python -c 'import pipeline.kubeflow.names'", wanted=r"\A\Z"),
    Check(what="version", command="mnist-tfx --version", wanted=r"mnist-tfx, version \d"),
    Check(what="doctor", command="mnist-tfx doctor", wanted="lane two"),
    Check(what="run on the digits", command="mnist-tfx run --root runs/digits 2>&1", wanted=r"served +version 1 "),
    Check(what="audit", command="mnist-tfx lineage audit --root runs/digits", wanted=ALL_PASS),
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
        debian_root.overlay(root, upper, work, *below, self._foreign(chain[0].base))
        debian_root.furnish(root)
        return root

    def _part(self, stage: str, part: str) -> Path:
        return self.folder / "stages" / stage / part

    def _foreign(self, image: str) -> Path:
        root = self.folder / "image"
        if not root.exists():
            found = re.match(r"debian:(\d+)", image)
            if found is None or found[1] not in debian_root.RELEASES:
                raise ValueError(f"FROM {image}: wanted debian of {', '.join(debian_root.RELEASES)}")
            debian_root.bootstrap(root, found[1])
        return root

    def _follow(self, stage: Stage, step: Instruction, variables: Mapping[str, str]) -> None:
        click.echo(f"{stage.name}: {step.word} {step.value}")
        if step.word == "RUN":
            every = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables, **debian_root.way_out()}
            debian_root.run(*debian_root.chroot(self.root(stage.name), step.value), env=every)
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
            debian_root.run("cp", "--recursive", "--preserve=mode,timestamps,links", what, destination)

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
    # A list, so that the checks after one that fails are made too.
    return all([debian_root.passes(wanted, root, user, variables["HOME"], variables) for wanted in CHECKS])  # noqa: C419


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
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        command = debian_root.in_namespace(sys.executable, *sys.argv)
        os.execvp(command[0], command)
    sys.exit(main())
