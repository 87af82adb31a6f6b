"""`make image`: kubeflow/Dockerfile by buildah, into a storage of its own below .tools/, and its bill of materials.

    python tests/build_image.py [--gpu] [--tag IMAGE] [--base IMAGE] [--or-skip]

Takes no Docker engine and no registry of images: where none answers, debootstrap makes the base. `--or-skip` ends well where
this machine cannot build images, and says why; an image that does not build is a failure all the same.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import cached_layers
import clean_root
import click
import debian_root
import dockerfile
import image_sbom

PROJECT: Final = Path(__file__).resolve().parents[1]
STORAGE: Final = PROJECT / ".tools" / "containers"
TAG: Final = "localhost/mnist-tfx:dev"
INSTALL: Final = "apt-get install buildah podman runc debootstrap"
ROOM: Final = 12 * 2**30
"""Bytes free without which a build is not begun: layers and the image below .tools/, and each blob in /var/tmp first."""

REACH: Final = "/run/build"
"""Where install.sh looks for what leads to package indexes."""

NO_NETWORK: Final = 75
"""Exit code of install.sh where Debian's packages cannot be fetched (EX_TEMPFAIL)."""

CANNOT_BUILD: Final = 4
"""Exit code: the machine is at fault, and nothing was built."""


class CannotBuildError(Exception):
    """This machine cannot build images; the message says what is missing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Storage:
    """Where images are kept, apart from those that root's own podman has.

    Attributes:
      folder: gets images, containers and the two files that tell tools of it.
    """

    folder: Path = dataclasses.field(default_factory=lambda: STORAGE)

    @property
    def variables(self) -> dict[str, str]:
        """By which buildah and podman find it, and anything that calls them."""
        return {
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
        }

    @property
    def running(self) -> Path:
        """Folder for what runs: podman takes no name of more than fifty characters."""
        base = Path(os.environ.get("XDG_RUNTIME_DIR", "/run"))
        return base / f"mnist-tfx-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]}"

    def prepare(self) -> None:
        """Wait for other builds, and write the files that name it, as this machine needs them.

        Raises:
          CannotBuildError: if there is no buildah, or no room.
        """
        if shutil.which("buildah") is None:
            raise CannotBuildError(f"no buildah: {INSTALL}")
        self.folder.mkdir(parents=True, exist_ok=True)
        # A disk that fills up half way takes everything down that runs beside the build.
        for place in (self.folder, Path("/var/tmp")):
            if (free := shutil.disk_usage(place).free) < ROOM:
                raise CannotBuildError(f"{place}: {free / 2**30:.1f} GiB free, wanted {ROOM >> 30}")
        # Held until the process ends: two builds would each make what the second finds made.
        fcntl.flock(os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o644), fcntl.LOCK_EX)
        driver = "overlay" if debian_root.overlay_problem(self.folder) is None else "vfs"
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver = "{driver}"\ngraphroot = "{self.folder / "storage"}"\nrunroot = "{self.running}"\n'
            # A mount of its own would outlive every build, and keep the checkout from being removed.
            '[storage.options.overlay]\nskip_mount_home = "true"\n'
        )
        # crun refuses hosts that have both kinds of control groups; podman's own limits are above many hosts'.
        (self.folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n[engine]\nruntime = "runc"\n'
        )

    def wait(self) -> None:
        """Wait for a build that is under way."""
        with contextlib.suppress(FileNotFoundError), (self.folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)

    def run(self, *command: object, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a tool on this storage, at a low priority."""
        arguments = ["nice", *map(str, command)]
        return subprocess.run(arguments, env={**os.environ, **self.variables}, text=True, check=False, **options)  # type: ignore[call-overload]

    def ask(self, *command: object) -> str:
        """Return what a tool prints.

        Raises:
          CannotBuildError: if it fails.
        """
        done = self.run(*command, capture_output=True)
        if done.returncode != 0:
            raise CannotBuildError((done.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1])
        return done.stdout.strip()


def base_of(storage: Storage, asked: str | None) -> str:
    """Return the name of the base: what was asked for, the Dockerfile's, or one made by debootstrap and kept."""
    if asked is not None:
        return asked
    wanted = dockerfile.stages((PROJECT / "kubeflow" / "Dockerfile").read_text())[0].base
    full = f"docker.io/library/{wanted}"
    pulled = storage.run("timeout", "120", "buildah", "pull", "--quiet", full, capture_output=True)
    if pulled.returncode == 0:
        return full
    release = wanted.partition(":")[2].partition(".")[0]
    made = f"localhost/debian:{release}-debootstrap"
    click.echo(f"base      {made}, for no registry gave {full} (BASE=IMAGE names another)")
    if storage.run("buildah", "inspect", "--type=image", made, capture_output=True).returncode != 0:
        _bootstrap(storage, release, made)
    return made


def _bootstrap(storage: Storage, release: str, name: str) -> None:
    if shutil.which("debootstrap") is None:
        raise CannotBuildError(f"no debootstrap: {INSTALL}")
    try:
        root = cached_layers.debian(release)
    except subprocess.CalledProcessError as err:
        raise CannotBuildError(f"debootstrap ended with {err.returncode}: no mirror of Debian answers") from err
    container = storage.ask("buildah", "from", "scratch")
    storage.ask("buildah", "add", "--quiet", container, f"{root}/", "/")
    storage.ask("buildah", "commit", "--quiet", "--rm", container, name)


def build(storage: Storage, target: str, tag: str, base: str) -> None:
    """Build a stage of the Dockerfile from what git knows of the checkout.

    Raises:
      CannotBuildError: if Debian's packages cannot be fetched.
      SystemExit: if the image does not build.
    """
    commit, tree = state()
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-image-") as folder:
        context, reach = Path(folder, "context"), Path(folder, "reach")
        for name in clean_root.build_context(PROJECT):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, context / name)
        _write_reach(reach)
        arguments = {"BASE": base, "GIT_COMMIT": commit, "GIT_TREE": tree}
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        mounts = [f"--volume={reach}:{REACH}:ro", f"--volume={_uv_cache()}:/root/.cache/uv"]
        how = [f"--isolation={os.environ.get('BUILDAH_ISOLATION', 'chroot')}", "--layers", "--force-rm", "--quiet"]
        file = PROJECT / "kubeflow" / "Dockerfile"
        done = storage.run(
            "buildah", "bud", *how, *given, *mounts, f"--file={file}", f"--target={target}", f"--tag={tag}", context
        )
    if done.returncode == NO_NETWORK:
        raise CannotBuildError("no mirror of Debian and no package index answers")
    if done.returncode != 0:
        click.echo(f"make image: the stage {target} of kubeflow/Dockerfile does not build", err=True)
        raise SystemExit(1)


def state() -> tuple[str, str]:
    """Return commit and state of the checkout, as the records of a run want them; an unpacked archive has neither."""
    git = ["git", "-C", str(PROJECT)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "", "none"
    return commit, "dirty" if changed else "clean"


def _write_reach(folder: Path) -> None:
    folder.mkdir()
    variables = debian_root.way_out()
    if bundle := os.environ.get("SSL_CERT_FILE"):
        shutil.copyfile(bundle, folder / "certificates.crt")
        variables |= dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT"), f"{REACH}/certificates.crt")
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    (folder / "environment").write_text("".join(lines))


def _uv_cache() -> Path:
    folder = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _describe(storage: Storage, tag: str, seconds: float) -> None:
    [image] = json.loads(storage.ask("buildah", "images", "--json", tag))
    sbom = image_sbom.write(storage, tag, PROJECT / "build" / "image")
    click.echo(f"image     {tag}  {image['size']}, {seconds:.0f} s")
    click.echo(f"sbom      {sbom.relative_to(PROJECT)}")
    click.echo(f"tools     export {' '.join(f'{name}={value}' for name, value in storage.variables.items())}")


def main() -> int:
    """Build, describe what came out, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpu", action="store_true", help="the GPU image: CUDA's libraries, 4 GB more")
    parser.add_argument("--tag", help=f"by default {TAG}, and {TAG}-gpu for the GPU image")
    parser.add_argument("--base", help="image to build on, instead of the Dockerfile's or one made by debootstrap")
    parser.add_argument("--or-skip", action="store_true", help="end well where images cannot be built")
    arguments = parser.parse_args()
    started, storage = time.monotonic(), Storage()
    target = "gpu" if arguments.gpu else "cpu"
    tag = arguments.tag or (f"{TAG}-gpu" if arguments.gpu else TAG)
    try:
        storage.prepare()
        build(storage, target, tag, base_of(storage, arguments.base))
    except CannotBuildError as err:
        click.echo(f"make image: {'skipped, ' if arguments.or_skip else ''}{err}", err=True)
        return 0 if arguments.or_skip else CANNOT_BUILD
    _describe(storage, tag, time.monotonic() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
