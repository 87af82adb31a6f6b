"""Places in a pod: folders of a bucket's URIs, and the run and root that the path of an output names.

KFP's launcher copies `minio://b/k` to `/minio/b/k`, `s3://b/k` to `/s3/b/k` and `gs://b/k` to `/gcs/b/k` before a
container starts, and back when it has ended (`LocalPathForURI` in backend/src/v2/component/launcher_v2.go of
kubeflow/pipelines); on Vertex AI `/gcs` is a mount of the buckets. TensorFlow can open neither minio:// nor s3://.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Final

from components.errors import BadInput, EnvironmentProblem, Refused
from components.serving import CLAIMS_FILE, LOCK_FILE
from components.sharing import without_access

FOLDERS: Final = {"minio": "minio", "s3": "s3", "gs": "gcs"}
"""{URI scheme: folder below `/`}."""

LAUNCHER_FOLDERS: Final = (
    "/kfp-launcher",
    *(f"/{name}" for name in FOLDERS.values()),
    "/.local",
    "/.cache",
    "/.config",
)
"""Where KFP mounts volumes of its own in every pod; a second one at such a path takes the place of KFP's."""

POD_ROOT: Final = "MNIST_TFX_POD_ROOT"
"""Environment variable: a folder that stands for `/`, where a pod is imitated on a machine that others use as well."""


SHARING: Final = (
    "let every pod that pushes there run as one user, or give the volume to a group of theirs (fsGroup; or once, on the "
    "volume: chgrp -R GROUP . && chmod -R g+rwX . && chmod g+s .)"
)
"""What opens a volume to pods of several users."""


def pod_root() -> Path:
    """Return what stands for `/` as far as launcher and volumes are concerned."""
    return Path(os.environ.get(POD_ROOT, "/"))


def local(uri: str) -> Path:
    """Return where the launcher puts, or looks for, what a URI or an absolute path names.

    Raises:
      BadInput: for another scheme.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return volume(uri)
    if scheme not in FOLDERS:
        raise BadInput(
            "a scheme that KFP's launcher does not know", where=uri, wanted=f"one of {', '.join(FOLDERS)}", got=scheme
        )
    return pod_root() / FOLDERS[scheme] / rest


def volume(path: str) -> Path:
    """Return where a volume that is mounted at `path` lies."""
    return pod_root() / path.lstrip("/")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a task's outputs go.

    Attributes:
      root: URI of the pipeline root.
      run_id: the run's id on open-source KFP, the job's name on Vertex AI.
      folder: the task's folder, relative to the root.
    """

    root: str
    run_id: str
    folder: str

    @property
    def local_root(self) -> Path:
        """Where the pipeline root lies in the pod."""
        return local(self.root)

    def relative(self, uri: str) -> str:
        """Return the path of an artifact relative to the root, as records hold it.

        Raises:
          Refused: if it lies elsewhere.
        """
        if not uri.startswith(f"{self.root}/"):
            raise Refused(
                "an artifact from outside the pipeline root",
                where=uri,
                wanted=f"below {self.root}",
                hint="cached under another root: submit once with --no-cache",
            )
        return uri.removeprefix(f"{self.root}/")


def place_of(output_uri: str, task: str) -> Place:
    """Read root and run from where a task is to write an output.

    That is `<root>/<pipeline>/<run>/<task>/<salt>/<output>` on open-source KFP, where old releases leave out the salt,
    and `<root>/<project number>/<job>/<task>_<number>/<output>` on Vertex AI.

    Raises:
      EnvironmentProblem: if the URI is of neither form.
    """
    parts = output_uri.split("/")
    places = [at for at, part in enumerate(parts) if part == task or part.startswith(f"{task}_")]
    if not places or places[-1] < 3:  # root, pipeline and run come before it
        raise EnvironmentProblem(
            "an output at an unknown place", where=output_uri, wanted=f"<root>/<pipeline>/<run>/{task}/..."
        )
    at = places[-1]
    return Place(root="/".join(parts[: at - 2]), run_id=parts[at - 1], folder="/".join(parts[at - 2 : -1]))


def launcher_folder(path: str) -> str | None:
    """Return the folder of KFP's own at or above an absolute path, if there is one."""
    place = PurePosixPath(os.path.normpath(path))
    return next((folder for folder in LAUNCHER_FOLDERS if place.is_relative_to(folder)), None)


def in_bucket(serving: str) -> bool:
    """Whether a serving directory is a bucket, or lies where the launcher or Vertex AI puts what is in one."""
    place = Path("/" + os.path.normpath(serving).lstrip("/"))  # POSIX lets two slashes at the start stand
    return "://" in serving or place.parts[1:2] in [(folder,) for folder in FOLDERS.values()]


def mounted(serving: str) -> Path:
    """Return the serving directory in this pod.

    Raises:
      BadInput: for a bucket, mounted or not: nothing renames a directory atomically there.
      EnvironmentProblem: if no volume is mounted there: a version would vanish with the pod.
    """
    if in_bucket(serving):
        raise BadInput(
            "cannot serve from a bucket",
            where=serving,
            wanted="a directory of a mounted POSIX volume",
            hint="object stores have no atomic rename, so a server could load half a model",
        )
    folder = volume(os.path.normpath(serving))
    if POD_ROOT in os.environ or any(os.path.ismount(place) for place in (folder, *folder.parents[:-1])):
        return folder
    raise EnvironmentProblem(
        "no volume is mounted",
        where=serving,
        wanted="a volume that outlives the pod",
        hint="name its claim with `kubeflow compile --claim` or in the cluster file",
    )


def writable(serving: str) -> Path:
    """Return the serving directory in this pod, into which this pod could push.

    Pods of other users may have pushed there before, and the volume's files are theirs.

    Raises:
      BadInput: as `mounted`.
      EnvironmentProblem: as `mounted`, or if its permissions keep this pod's user from pushing.
    """
    folder = mounted(serving)
    closed = without_access(folder, LOCK_FILE, CLAIMS_FILE)
    if closed is None:
        return folder
    status = closed.stat()
    raise EnvironmentProblem(
        "this pod may not write to the serving volume",
        where=f"/{closed.relative_to(pod_root())}",
        wanted=f"writable for user {os.geteuid()}, groups {', '.join(map(str, _groups()))}",
        got=f"owner {status.st_uid}:{status.st_gid}, mode {stat.S_IMODE(status.st_mode):04o}",
        hint=SHARING,
    )


def _groups() -> list[int]:
    return sorted({os.getegid(), *os.getgroups()})
