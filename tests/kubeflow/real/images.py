"""What stands in the place of a container's image: KFP's programs in a folder, or this installation."""

import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from command_line import PROJECT
from kubeflow.real.workflow import Json

from pipeline.provenance.git import COMMIT_VARIABLE, TREE_VARIABLE, git_state

KFP_USER: Final = 65532
"""The user of KFP's images since 2.16 (`backend/Dockerfile.driver`)."""
OUR_USER: Final = 10001
"""The user of kubeflow/Dockerfile."""
_PYTHON: Final = (Path(sys.prefix), Path(sys.base_prefix))


@dataclass(frozen=True)
class Image:
    """An image: its user, its variables, and the folders of this machine that it consists of."""

    user: int
    env: dict[str, str]
    folders: tuple[Path, ...]


def image_of(container: Json, programs: Path, user: int) -> Image:
    """Returns the image of a container.

    Args:
      programs: KFP's `driver` and `launcher-v2`.
      user: Who runs what is not KFP's.
    """
    if any(name in container["image"] for name in ("kfp-driver", "kfp-launcher")):
        # The two need nothing but themselves; their stand-ins are scripts of this Python.
        return Image(KFP_USER, {"HOME": "/", "PATH": str(programs)}, (programs, *_PYTHON))
    return Image(user, _ours(), (PROJECT, *_PYTHON))


def compile_bytecode() -> None:
    """Compiles the installation, as an image's build does: pods cannot write, and each would compile TensorFlow's again."""
    packages = [str(PROJECT / name) for name in ("components", "pipeline")]
    # Some distributions carry files of Python 2, which do not compile.
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", sysconfig.get_path("purelib"), *packages],
        stdout=subprocess.DEVNULL,
        check=False,
    )


def _ours() -> dict[str, str]:
    git = git_state()  # of the checkout, as an image's build puts it into its environment
    return {
        "HOME": "/home/mnist-tfx",
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(PROJECT),
        COMMIT_VARIABLE: git.commit or "",
        TREE_VARIABLE: git.tree,
    }
