"""The requests that a server keeps of a version: files of tf.Examples below the root, private and bounded.

`samples/<version>-<digest>/<time>-<process>-<number>.tfrecord`, each with Examples whose one feature is `image`, as the
pipeline's own Examples have it. The digest in the name ties them to the bytes that answered: the samples of other bytes
under the same number are no samples of this version.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import struct
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from components.errors import EnvironmentProblem
from components.features import IMAGE
from components.files import replacing
from components.ingest.encode import masked_crc, tfrecord
from components.untrusted import MIB, read_bytes
from pipeline.root.paths import RunPaths

UINT8 = npt.NDArray[np.uint8]

SUFFIX: Final = ".tfrecord"
LARGEST: Final = 256 * MIB
"""Bytes of one file; a server writes a few at most."""

_NAME: Final = re.compile(r"(?P<time>\d{8}T\d{6}Z)-\d+-\d+\.tfrecord")
_TIME: Final = "%Y%m%dT%H%M%SZ"
_LENGTH: Final = struct.Struct("<QI")
_CHECKSUM: Final = struct.Struct("<I")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """What was kept of the requests to one version.

    Attributes:
      images: uint8 [N, pixels]; rows of another length are left out.
      misshapen: rows of another length.
      since: UTC time of the oldest file, ISO 8601; None where there is none.
      until: of the newest.
    """

    images: UINT8
    misshapen: int
    since: str | None
    until: str | None


def folder(paths: RunPaths, version: int, digest: str) -> Path:
    """Return the folder of a version's samples, which need not be there."""
    return paths.samples / f"{version}-{digest}"


def files(place: Path) -> list[Path]:
    """Return the files of samples in a folder, oldest first; none where there is no such folder."""
    if not place.is_dir() or place.is_symlink():
        return []
    return sorted((one for one in place.iterdir() if _NAME.fullmatch(one.name)), key=_order)


def _order(file: Path) -> tuple[str, int]:
    time, _, number = file.name.removesuffix(SUFFIX).split("-")
    return time, int(number)


def write(place: Path, examples: Sequence[bytes], number: int) -> Path:
    """Write Examples as one file, whole or not at all, which its owner alone may read.

    Args:
      place: folder of the version; made if it is not there.
      examples: serialised.
      number: of the file, so that two within a second have different names.

    Raises:
      OSError: if it cannot be written.
    """
    for part in (place.parent, place):
        make_private(part)
    time = datetime.now(timezone.utc).strftime(_TIME)
    file = place / f"{time}-{os.getpid()}-{number}{SUFFIX}"
    # A sample that a power failure takes is no loss: it need not be durable.
    with replacing(file, durable=False) as out:
        os.fchmod(out.fileno(), 0o600)
        out.write(tfrecord(examples))
    return file


def make_private(place: Path) -> None:
    """Make a folder that its owner alone may enter.

    Raises:
      OSError: if it cannot be made or written, or is a link, which could lead to where others read.
    """
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "it is a link", str(place))
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def remove_oldest(paths: RunPaths, most: int) -> int:
    """Remove files of all versions, oldest first, until they are below a number of bytes; return how many went."""
    if not paths.samples.is_dir():
        return 0
    sizes = {file: file.stat().st_size for place in paths.samples.iterdir() for file in files(place)}
    total, removed = sum(sizes.values()), 0
    for file in sorted(sizes, key=_order):
        if total <= most:
            break
        file.unlink(missing_ok=True)
        total, removed = total - sizes[file], removed + 1
    return removed


def read(place: Path, pixels: int) -> Samples:
    """Return the samples in a folder.

    Raises:
      EnvironmentProblem: if a file is damaged.
    """
    there = files(place)
    rows: list[UINT8] = []
    misshapen = 0
    for file in there:
        for values in _images(file):
            if values is not None and len(values) == pixels:
                rows.append(values)
            else:
                misshapen += 1
    times = [datetime.strptime(file.name.split("-")[0], _TIME).replace(tzinfo=timezone.utc) for file in there]
    shown = [time.isoformat().replace("+00:00", "Z") for time in times]
    images = np.stack(rows) if rows else np.zeros((0, pixels), np.uint8)
    return Samples(images=images, misshapen=misshapen, since=min(shown, default=None), until=max(shown, default=None))


def _images(file: Path) -> Iterator[UINT8 | None]:
    from google.protobuf.message import DecodeError
    from tensorflow.core.example.example_pb2 import Example

    for record in _records(file):
        try:
            values = np.array(Example.FromString(record).features.feature[IMAGE].int64_list.value, np.int64)
        except DecodeError as err:
            raise _damaged(file, "no Example") from err
        yield values.astype(np.uint8) if values.size and 0 <= values.min() <= values.max() <= 255 else None


def _records(file: Path) -> Iterator[bytes]:
    data, start = read_bytes(file, limit=LARGEST, error=EnvironmentProblem), 0
    while start < len(data):
        head, length = data[start : start + _LENGTH.size], 0
        if len(head) == _LENGTH.size:
            length, _ = _LENGTH.unpack(head)
        end = start + _LENGTH.size + length
        tail = data[end : end + _CHECKSUM.size]
        if not length or len(tail) < _CHECKSUM.size:
            raise _damaged(file, "cut short")
        record = data[start + _LENGTH.size : end]
        if _CHECKSUM.unpack(tail)[0] != masked_crc(record):
            raise _damaged(file, "a wrong checksum")
        yield record
        start = end + _CHECKSUM.size


def _damaged(file: Path, got: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        "no file of samples", where=file, wanted="TFRecords", got=got, hint="remove it: it is a sample and no more"
    )
