"""The versions that are loaded, kept in step with the serving directory by a thread that looks at it.

A version that fails its check is refused with one line and looked at again when its files change; what was loaded before
goes on being served. A version is loaded and asked once before it takes the place of another, and one that is replaced
lives on until the requests that hold it are answered.

A loaded version that does not qualify any more, since the key of its approval or signature was revoked, is dropped at
once, and the newest that still qualifies is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from components.errors import EnvironmentProblem, shortened
from components.serving import ServedVersion
from pipeline.predict.server import memory
from pipeline.predict.server.model import LoadedModel
from pipeline.predict.server.status import Code, RequestError
from pipeline.predict.server.verification import Conditions, objection, verified_copy
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.root.paths import RunPaths

INTERVAL: Final = 0.2
"""Seconds between two looks: a push is to be served within one second, most of which loading takes."""

AGAIN: Final = 10.0
"""Seconds until a version is tried again that the machine, not its bytes, kept from being loaded."""

State = Literal["LOADING", "AVAILABLE", "END"]
"""Names of TensorFlow Serving's `ModelVersionStatus.State`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VersionStatus:
    """Where a version stands.

    Attributes:
      version: its number.
      state: TensorFlow Serving's word for it.
      code: OK, or the kind of error that kept it from being loaded.
      message: why it was refused; empty otherwise.
    """

    version: int
    state: State
    code: Code = Code.OK
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which versions are served.

    Attributes:
      latest: how many of the newest.
      labels: {label: version}; a labelled version is served as long as it is there, however old.
      conditions: what a version has to meet.
    """

    latest: int = 1
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    conditions: Conditions = dataclasses.field(default_factory=Conditions)


class Versions:
    """What is loaded of a root.

    Args:
      paths: of the root.
      wanted: which of its versions.
      load: loads a verified folder: (folder, version, digest).
      scratch: an existing folder of our own, for the copies.
      say: called with one line for each version that comes, goes or is refused.
    """

    def __init__(
        self,
        paths: RunPaths,
        wanted: Wanted,
        *,
        load: Callable[[Path, int, str], LoadedModel],
        scratch: Path,
        say: Callable[[str], None],
    ) -> None:
        self._paths = paths
        self._wanted = wanted
        self._load = load
        self._scratch = scratch
        self._say = say
        # Replaced as a whole and never changed, so requests read them without a lock.
        self._loaded: Mapping[int, LoadedModel] = {}
        self._statuses: Mapping[int, VersionStatus] = {}
        self._refused: dict[int, tuple[Any, str]] = {}
        self._seen: Any = None
        self._again = 0.0
        self._trouble: str | None = None
        self._dropped = False

    @property
    def loaded(self) -> Mapping[int, LoadedModel]:
        """{version: what is in memory}, lowest number first."""
        return self._loaded

    @property
    def statuses(self) -> Mapping[int, VersionStatus]:
        """{version: where it stands}, for every version that was looked at and is still there."""
        return self._statuses

    def find(self, version: int | None, label: str | None = None) -> LoadedModel:
        """Return a version by its number or label, by default the newest that is loaded.

        Raises:
          RequestError: NOT_FOUND if it is not loaded, UNAVAILABLE if none is yet.
        """
        loaded = self._loaded
        if not loaded:
            raise RequestError(Code.UNAVAILABLE, "no version has been loaded yet")
        if label is not None:
            if label not in self._wanted.labels:
                raise RequestError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
            version = self._wanted.labels[label]
        if version is None:
            return loaded[max(loaded)]
        if version not in loaded:
            raise RequestError(Code.NOT_FOUND, f"Servable not found for request: Specific({version})")
        return loaded[version]

    def watch(self, stop: threading.Event) -> None:
        """Keep in step until told to stop; never raises."""
        while not stop.wait(INTERVAL):
            if self._dropped:
                # One look later: by then its last requests are answered.
                self._dropped = False
                memory.reclaim()
            self.refresh()

    def refresh(self) -> None:
        """Look at the serving directory once, and load and drop what changed."""
        seen = self._stamp()
        if seen == self._seen and time.monotonic() < self._again:
            return
        self._again = math.inf
        try:
            directory = ServingDirectory.of(self._paths)
            self._follow(directory)
        except Exception as err:  # noqa: BLE001  # the thread that looks must outlive whatever it finds
            # A ledger that is broken vouches for nothing new; what was verified stays.
            self._report(f"{shortened(err, 500)}: what is loaded goes on being served")
            self._seen, self._again = seen, time.monotonic() + AGAIN
            return
        self._trouble, self._seen = None, seen

    def _follow(self, directory: ServingDirectory) -> None:
        there = {one.version: one for one in directory.recorded}
        self._withdraw(directory)
        wanted: dict[int, LoadedModel] = {}
        for version in sorted({*there, *self._loaded} - directory.pruned, reverse=True):
            if len(wanted) >= self._wanted.latest and version not in self._wanted.labels.values():
                continue
            model = self._as_recorded(directory, version)
            if model is None and version in there:
                model = self._try(directory, there[version]) or self._loaded.get(version)
            if model is not None:
                wanted[version] = model
                if version > max(self._loaded, default=0):
                    # At once: older ones that are wanted too can be loaded while this one answers.
                    self._publish({**self._loaded, version: model})
        if wanted:
            self._publish(dict(sorted(wanted.items())))
        self._note(there)

    def _withdraw(self, directory: ServingDirectory) -> None:
        """Drop what is loaded and does not qualify any more, before anything is loaded in its place.

        Until that is loaded nothing may answer: no answer is better than one from a model that nobody vouches for now.
        """
        kept = dict(self._loaded)
        for version, model in self._loaded.items():
            if (why := objection(directory, version, self._wanted.conditions, model.digest)) is not None:
                del kept[version]
                self._refuse(version, (str(why), *_files(self._paths.serving / str(version))), shortened(str(why), 500))
        if kept != self._loaded:
            self._publish(kept)

    def _as_recorded(self, directory: ServingDirectory, version: int) -> LoadedModel | None:
        """Return a version that is loaded, unless the ledger has come to hold other bytes for its number."""
        model, push = self._loaded.get(version), directory.pushes.get(version)
        return None if model is not None and push is not None and push.sha256 != model.digest else model

    def _try(self, directory: ServingDirectory, served: ServedVersion) -> LoadedModel | None:
        """Return a version, verified and loaded; None if it is refused."""
        # An approval comes without a change of the files.
        why = objection(directory, served.version, self._wanted.conditions)
        stamp: tuple[Any, ...] | None = (None if why is None else str(why), *_files(served.path))
        if self._refused.get(served.version, (None, ""))[0] == stamp:
            return None
        self._statuses = {**self._statuses, served.version: VersionStatus(version=served.version, state="LOADING")}
        try:
            with verified_copy(directory, served, self._wanted.conditions, self._scratch) as (folder, digest):
                model = self._load(folder, served.version, digest)
        except Exception as err:  # noqa: BLE001  # whatever a model or a file does wrong, the others are served
            if isinstance(err, (EnvironmentProblem, OSError, MemoryError)):
                # Such as a full disk, which no change of the version's files will tell to have room again.
                self._again, stamp = time.monotonic() + AGAIN, None
            line = shortened(str(err), 500)
            # What changes while it is looked at is looked at again: the stamp is from before.
            self._refuse(served.version, stamp, line)
            return None
        self._refused.pop(served.version, None)
        return model

    def _refuse(self, version: int, stamp: tuple[Any, ...] | None, line: str) -> None:
        """Note why a version is not served, and say so once as long as what the stamp tells of stays as it is."""
        if line != self._refused.get(version, (None, ""))[1] or stamp is not None:
            self._say(f"refused version {version}: {line}")
        self._refused[version] = (stamp, line)

    def _publish(self, loaded: Mapping[int, LoadedModel]) -> None:
        before, self._loaded = self._loaded, loaded
        for version in [one for one, model in loaded.items() if before.get(one) is not model]:
            self._say(f"serving version {version} ({loaded[version].digest[:12]})")
        for version in before.keys() - loaded.keys():
            self._say(f"dropped version {version}")
        kept = {id(model) for model in loaded.values()}
        self._dropped = self._dropped or any(id(model) not in kept for model in before.values())

    def _note(self, there: Mapping[int, ServedVersion]) -> None:
        self._refused = {version: one for version, one in self._refused.items() if version in there}
        refused = {
            version: VersionStatus(version=version, state="END", code=Code.FAILED_PRECONDITION, message=message)
            for version, (_, message) in self._refused.items()
        }
        loaded = {version: VersionStatus(version=version, state="AVAILABLE") for version in self._loaded}
        self._statuses = dict(sorted({**refused, **loaded}.items()))

    def _report(self, line: str) -> None:
        if line != self._trouble:
            self._trouble = line
            self._say(line)

    def _stamp(self) -> Any:
        ledger = _stat(self._paths.ledger)
        with contextlib.suppress(OSError):
            names = sorted(os.listdir(self._paths.serving))
            refused = {version: _files(self._paths.serving / str(version)) for version in self._refused}
            return ledger, [(name, _stat(self._paths.serving / name)) for name in names], refused
        return ledger, None, None


def _stat(path: str | Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_ctime_ns


def _files(folder: Path) -> tuple[Any, ...]:
    """Return what tells that something in a folder has changed, without reading any file."""
    return tuple(
        (parent, name, _stat(os.path.join(parent, name)))
        for parent, folders, files in os.walk(folder)
        for name in (*folders, *files)
    )
