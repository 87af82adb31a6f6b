"""Fetching of real data: UCI digits out of scikit-learn, or MNIST from one of its public mirrors.

A file appears under its name only whole, synced and verified: it is written beside it under a temporary name first.
What is there already and has the right content is kept; anything else of that name is never overwritten.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from components import disk
from components.digest import CHUNK
from components.errors import BadInput, EnvironmentProblem
from components.files import folder_made, replacing
from components.ingest.payload import payload_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Progress = Callable[[str, int, int], None]

MIRRORS: Final = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
"""Tried in this order; the last one is not encrypted, and need not be: what counts is the digest."""

TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """A file whose content is known beforehand.

    Attributes:
      name: its file name.
      payload: SHA-256 of its decompressed bytes.
      payload_bytes: their number.
    """

    name: str
    payload: str
    payload_bytes: int


MNIST: Final = (
    KnownFile(
        name="train-images-idx3-ubyte.gz",
        payload="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        payload_bytes=47_040_016,
    ),
    KnownFile(
        name="train-labels-idx1-ubyte.gz",
        payload="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        payload_bytes=60_008,
    ),
    KnownFile(
        name="t10k-images-idx3-ubyte.gz",
        payload="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        payload_bytes=7_840_016,
    ),
    KnownFile(
        name="t10k-labels-idx1-ubyte.gz",
        payload="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        payload_bytes=10_008,
    ),
)

DIGITS: Final = {
    "idx": (
        KnownFile(
            name="train-images-idx3-ubyte",
            payload="359cd13f0f514122884198b78a131df597421cbf5e93a76678fa96fc548f0d96",
            payload_bytes=115_024,
        ),
        KnownFile(
            name="train-labels-idx1-ubyte",
            payload="ce71631c1f31ce56fa54f31d1d498fafacff59b001e6c30c4a5e29508aa277ad",
            payload_bytes=1_805,
        ),
    ),
    "csv": (
        KnownFile(
            name="digits.csv",
            payload="6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8",
            payload_bytes=264_712,
        ),
    ),
}
"""By form; the CSV is byte for byte UCI's `optdigits.tes`."""

_OVERHEAD: Final = 1 << 16
"""Bytes that gzip may add to what it cannot compress; a mirror that sends more is not sending the file."""


def fetch_digits(to: Path, form: Literal["idx", "csv"] = "idx") -> tuple[Path, ...]:
    """Write the 1,797 UCI digits (8 x 8 pixels from 0 to 16) that scikit-learn carries.

    Args:
      to: a folder; made where there is none.
      form: "idx" for one pair of raw IDX files, "csv" for `digits.csv`: 64 pixels, then the label, no header.

    Returns:
      The files, in the order of their names in `DIGITS`.

    Raises:
      BadInput: when other content lies under one of the names.
      EnvironmentProblem: when the folder cannot be written, or scikit-learn carries other digits than these.
    """
    with _writing_to(to):
        return tuple(_kept(to, file) or _written(to / file.name, file) for file in DIGITS[form])


def fetch_mnist(
    to: Path,
    *,
    mirrors: Sequence[str] = MIRRORS,
    files: Sequence[KnownFile] = MNIST,
    timeout_s: float = TIMEOUT_S,
    show: Progress = lambda *_: None,
) -> tuple[Path, ...]:
    """Download MNIST's four files, each from the first mirror that delivers it unharmed.

    Args:
      to: a folder; made where there is none.
      mirrors: addresses that a file's name is added to.
      files: what to download.
      timeout_s: seconds without a byte after which a mirror is given up.
      show: called with the progress of each file: what is being done, its bytes so far, and all of them, 0 if unknown.

    Returns:
      The files, in the order of `files`.

    Raises:
      BadInput: when other content lies under one of the names.
      EnvironmentProblem: when the folder cannot be written, or no mirror delivers a file.
    """
    with _writing_to(to):
        return tuple(_kept(to, file) or _downloaded(to / file.name, file, mirrors, timeout_s, show) for file in files)


class _MirrorError(Exception):
    """Why one mirror did not deliver, in a few words."""


def _kept(to: Path, file: KnownFile) -> Path | None:
    """Return the file where it lies in the folder already, as it is or decompressed."""
    for path in (to / file.name, to / file.name.removesuffix(".gz")):
        if not os.path.lexists(path):
            continue
        with contextlib.suppress(BadInput):
            if payload_digest(path, limit=file.payload_bytes).payload == file.payload:
                return path
        raise BadInput(
            "a file of this name with another content lies there already",
            where=path,
            hint="remove it, or choose another folder with --to",
        )
    return None


def _written(target: Path, file: KnownFile) -> Path:
    with replacing(target) as opened:
        part = Path(opened.name)  # writers of IDX take a path
        _write_digits(part, target.name)
        found = payload_digest(part).payload
        if found != file.payload:
            raise EnvironmentProblem(
                "scikit-learn carries other digits than expected",
                where=target,
                wanted=file.payload,
                got=found,
                hint="install the locked environment with `make install`",
            )
    return target


def _write_digits(part: Path, name: str) -> None:
    import numpy as np
    from sklearn.datasets import load_digits

    from components.ingest import idx

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    if "images" in name:
        idx.write_images(part, images)
    elif "labels" in name:
        idx.write_labels(part, labels)
    else:
        rows = np.column_stack([images.reshape(len(images), -1), labels])
        np.savetxt(part, rows, fmt="%d", delimiter=",", newline="\n")


def _downloaded(target: Path, file: KnownFile, mirrors: Sequence[str], timeout_s: float, show: Progress) -> Path:
    reasons = []
    for mirror in mirrors:
        reason = _attempt(target, file, mirror + file.name, timeout_s, show)
        if reason is None:
            return target
        reasons.append(f"{urlsplit(mirror).netloc}: {reason}")
    raise EnvironmentProblem(
        "no mirror delivers this file",
        where=file.name,
        got="; ".join(reasons),
        hint=f"put {', '.join(one.name for one in MNIST)} from elsewhere into one folder and run with --data FOLDER, "
        "or use the digits of `mnist-tfx data fetch digits`, which needs no network",
    )


def _attempt(target: Path, file: KnownFile, url: str, timeout_s: float, show: Progress) -> str | None:
    """Download and verifies one file; return why that failed, or None."""
    doing = f"{file.name} from {urlsplit(url).netloc}"
    show(doing, 0, 0)  # until the server answers
    try:
        with replacing(target) as part:
            for block, total in _response(url, timeout_s):
                part.write(block)
                show(doing, part.tell(), total or 0)
                _require_length(part.tell(), file)
            part.flush()
            _verify(Path(part.name), file)
    except _MirrorError as err:
        return str(err)
    return None


def _response(url: str, timeout_s: float) -> Iterator[tuple[bytes, int | None]]:
    """Yield the body in blocks, each with the length of the whole where the server tells it."""
    try:
        with urlopen(url, timeout=timeout_s) as response:  # noqa: S310 - addresses are ours, and all http(s)
            total = response.length
            while block := response.read(CHUNK):
                yield block, total
    except HTTPError as err:
        raise _MirrorError(f"HTTP {err.code}") from err
    except (OSError, HTTPException) as err:
        raise _MirrorError(str(getattr(err, "reason", err)) or type(err).__name__) from err


def _require_length(size: int, file: KnownFile) -> None:
    if size > file.payload_bytes + _OVERHEAD:
        raise _MirrorError("sends more than the file has")


def _verify(part: Path, file: KnownFile) -> None:
    try:
        found = payload_digest(part, limit=file.payload_bytes)
    except BadInput as err:
        raise _MirrorError(err.what) from err
    if found.payload != file.payload:
        raise _MirrorError(f"wrong content (SHA-256 {found.payload[:12]}... instead of {file.payload[:12]}...)")


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    try:
        with folder_made(folder):
            yield
    except (FileExistsError, NotADirectoryError) as err:
        raise BadInput("is not a folder", where=folder) from err
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=folder) from err
