"""A container, as far as a process can tell: started in mount and process namespaces of its own, it becomes the command.

    unshare --mount --pid --fork python container.py CONTAINER.json

The root is this machine's, with a layer over it that lasts as long as the container. Seen from the machine's other
folders are only those that the file names. What a container may do is decided by its user, its capabilities and
`no_new_privs`; seccomp and limits of memory are not imitated.
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE = 1, 32, 4096, 16384
_DEVICES = ("null", "zero", "full", "random", "urandom")
_MASKED = ("tmp", "run", "dev", "mnt", "media", "srv", "home")
"""Folders of the machine that no image has anything in."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(described: Path) -> None:
    """Builds the root that the file describes, and executes its command there."""
    container = json.loads(described.read_text())
    root = Path(container["folder"]) / "root"
    _layers(root)
    _devices(root / "dev")
    for name in ("shm", "pts"):
        (root / "dev" / name).mkdir()
        (root / "dev" / name).chmod(0o1777)
    _mount("proc", root / "proc", "proc")
    for link, target in (("fd", ""), ("stdout", "/1"), ("stderr", "/2")):
        (root / "dev" / link).symlink_to(f"/proc/self/fd{target}")
    for path, text in container["files"].items():
        _into(root, path).parent.mkdir(parents=True, exist_ok=True)
        _into(root, path).write_text(text)
    for mount in container["mounts"]:
        _bind(Path(mount["source"]), _into(root, mount["target"]), read_only=mount["read_only"])
    _let_through(root, container["reachable"])
    home = _into(root, container["env"]["HOME"])
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o777)
    if container["read_only"]:
        _mount(None, root, None, _REMOUNT | _READ_ONLY)
    os.chroot(root)
    os.chdir(container["env"]["HOME"])
    # `unshare --kill-child` asks for the same, but a change of user takes that back.
    privileges = ["--pdeathsig", "KILL", *container["privileges"]]
    os.execve("/usr/bin/setpriv", ["setpriv", *privileges, "--", *container["command"]], container["env"])


def _layers(root: Path) -> None:
    """Lays a layer in memory over the machine's root, and empty folders over what is not an image's."""
    layer = root.parent / "layer"
    for folder in (root, layer):
        folder.mkdir(exist_ok=True)
    _mount("tmpfs", layer, "tmpfs")
    for name in ("upper", "work"):
        (layer / name).mkdir()
    (layer / "upper").chmod(0o755)
    _mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={layer}/upper,workdir={layer}/work")
    for name in _MASKED:
        (root / name).mkdir(exist_ok=True)
        _mount("tmpfs", root / name, "tmpfs", 0, "mode=1777" if name == "tmp" else "mode=755")


def _devices(folder: Path) -> None:
    for name in _DEVICES:
        (folder / name).touch()
        _mount(f"/dev/{name}", folder / name, None, _BIND)


def _bind(source: Path, target: Path, *, read_only: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir(exist_ok=True) if source.is_dir() else target.touch()
    _mount(str(source), target, None, _BIND | _RECURSIVE)
    if read_only:
        _mount(None, target, None, _REMOUNT | _BIND | _READ_ONLY)


def _let_through(root: Path, paths: list[str]) -> None:
    """Opens the folders above what the container has to reach: an installation below /root is closed to other users."""
    for path in paths:
        for folder in Path(path).parents:
            inside = _into(root, str(folder))
            if folder != Path("/") and inside.stat().st_mode & 0o005 != 0o005:
                inside.chmod(inside.stat().st_mode | 0o055)


def _into(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _mount(source: str | None, target: Path, kind: str | None, flags: int = 0, options: str | None = None) -> None:
    words: list[Any] = [None if word is None else os.fsencode(word) for word in (source, str(target), kind)]
    data = None if options is None else options.encode()
    if _libc.mount(*words, ctypes.c_ulong(flags), data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
