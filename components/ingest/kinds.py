"""Kinds of files by their first bytes, where those are certain and neither CSV nor IDX.

What is downloaded under the name of a data file is now and then an archive, a picture or the page that says "log in":
a reader of numbers would complain about its first byte, and this says what it is.
"""

from __future__ import annotations

from typing import Final

HEAD: Final = 512
"""Bytes to look at; a tar archive says what it is in byte 257."""

_MAGICS: Final = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"%PDF-", "a PDF document"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x1f\x8b", "a gzip file within a gzip file"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"version https://git-lfs", "a Git LFS pointer and not the file itself (`git lfs pull` fetches that)"),
)
_TEXTS: Final = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML document"),
    (b"@relation", "an ARFF file"),
    (b"{", "a JSON document"),
    (b"[", "a JSON document"),
)
_PICKLES: Final = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


def foreign_kind(head: bytes) -> str | None:
    """Return what a payload that begins with `head` is, such as "a Parquet file"; None where that is not certain.

    Args:
      head: the first `HEAD` bytes, fewer where there are no more.
    """
    if head.startswith(b"PK\x03\x04") and b".npy" in head[:HEAD]:
        return "a NumPy archive (.npz)"
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head.startswith(_PICKLES):
        return "a Python pickle"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "a WebP picture"
    text = head.lstrip().lower()
    return next((kind for start, kind in _TEXTS if text.startswith(start)), None)


def idx_kind(head: bytes) -> str | None:
    """Return what an IDX file holds, such as "an IDX file of 3 dimensions"; None for anything else."""
    types = {0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E}
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in types or not head[3]:
        return None
    return f"an IDX file of {head[3]} dimension{'s' if head[3] > 1 else ''}"
