"""Buckets as local folders."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

from components.errors import BadInput
from pipeline.kubeflow.places import FOLDERS


@dataclasses.dataclass(frozen=True)
class Buckets:
    """Prefixes of buckets and the folders that hold what is below them.

    Attributes:
      folders: {URI without a slash at its end: absolute folder}.
    """

    folders: Mapping[str, Path]

    def prefix_of(self, uri: str) -> str:
        """Return the longest prefix that holds a URI.

        Raises:
          BadInput: if none does.
        """
        holding = [prefix for prefix in self.folders if uri.rstrip("/") == prefix or uri.startswith(f"{prefix}/")]
        if not holding:
            prefixes = ", ".join(self.folders)
            hint = f"give the folder that stands for it with --bucket {uri}=DIR"
            raise BadInput("a bucket that no folder stands for", where=uri, wanted=f"below {prefixes}", hint=hint)
        return max(holding, key=len)

    def local(self, uri: str) -> Path:
        """Return where a URI's files lie on this machine.

        Raises:
          BadInput: if no folder stands for its bucket.
        """
        prefix = self.prefix_of(uri)
        return self.folders[prefix] / uri.removeprefix(prefix).strip("/")


def in_pod(uri: str) -> str:
    """Return the absolute path at which KFP's launcher keeps a URI in a pod (`LocalPathForURI`).

    Raises:
      BadInput: for a scheme that it does not know.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in FOLDERS:
        schemes = ", ".join(f"{scheme}://" for scheme in FOLDERS)
        raise BadInput("no URI of a bucket", where=uri, wanted=f"one of {schemes}")
    return f"/{FOLDERS[scheme]}/{rest}"


def copy_files(source: Path, target: Path) -> int:
    """Copy a file, or all files below a folder, as object stores do: no empty folders, no links. Returns how many."""
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return 1
    if not source.is_dir():
        return 0
    return sum(copy_files(entry, target / entry.name) for entry in sorted(source.iterdir()))
