"""Reader of NumPy files that somebody else may have written: arrays of plain values, or one error of ours.

`numpy.load` allocates what a header asks for before it looks whether so much is there, and lets errors of zip, zlib and
Python's own parser through. Here a header has to account for every byte that follows it, and nothing is unpickled.
"""

from __future__ import annotations

import io
import math
import os
import tokenize
import zipfile
import zlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.errors import BadInput, MnistTfxError, shortened
from components.untrusted import LARGEST_ARRAYS, open_regular, read_bytes

_FAULTS: Final = (
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    RecursionError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
)
_LONGEST_HEADER: Final = 1 << 16
"""Bytes before the values; numpy itself reads no header of more than 10,000 characters."""

_ZIP_FAULTS: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError)


def parse_npy(data: bytes, *, where: object, error: type[MnistTfxError] = BadInput) -> npt.NDArray[Any]:
    """Return the array in the bytes of an `.npy` file.

    Args:
      data: the file.
      where: for the message.
      error: class of the error that is raised.

    Raises:
      MnistTfxError: of class `error`, if it is none, is cut short, or holds Python objects.
    """
    try:
        file = io.BytesIO(data)
        shape, fortran, dtype = _header(file)
        body = memoryview(data)[file.tell() :]
        count = 1
        for size in shape:
            count *= size
        if count < 0 or count * dtype.itemsize != len(body):
            raise ValueError(f"{len(body)} bytes of values for the shape {shape} of {dtype}")
        # A copy, since the values of a buffer cannot be changed.
        found: npt.NDArray[Any] = np.frombuffer(body, dtype, count).copy() if count else np.empty(0, dtype)
        return found.reshape(shape, order="F" if fortran else "C")
    except _FAULTS as err:
        raise error("not a NumPy array", where=where, got=shortened(err, 120)) from err


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]  # numpy left it out
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, fortran, dtype = read(file)  # type: ignore[no-untyped-call]  # numpy left it out
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return shape, fortran, dtype


def read_npy(
    path: str | os.PathLike[str], *, limit: int = LARGEST_ARRAYS, error: type[MnistTfxError] = BadInput
) -> npt.NDArray[Any]:
    """Read the array of an `.npy` file; see `components.untrusted.read_bytes` and `parse_npy`."""
    return parse_npy(read_bytes(path, limit=limit, error=error), where=path, error=error)


def map_npy(path: str | os.PathLike[str], *, error: type[MnistTfxError] = BadInput) -> npt.NDArray[Any]:
    """Return the array in an `.npy` file without reading its values: they are read from disk where they are looked at.

    Raises:
      MnistTfxError: of class `error`, if it is none, is cut short, or holds Python objects.
    """
    with open_regular(path, error=error) as file:
        try:
            head = io.BytesIO(file.read(_LONGEST_HEADER))
            shape, fortran, dtype = _header(head)
            start, size = head.tell(), os.fstat(file.fileno()).st_size
            count = math.prod(shape)
            if count < 0 or start + count * dtype.itemsize != size:
                raise ValueError(f"{size - start} bytes of values for the shape {shape} of {dtype}")
            if not count:  # nothing can be mapped of an empty file
                return np.empty(shape, dtype)
            return np.memmap(file, dtype, "r", start, shape, "F" if fortran else "C")
        except (*_FAULTS, OSError) as err:
            raise error("not a NumPy array", where=path, got=shortened(err, 120)) from err


def parse_npz(data: bytes, *, where: object, error: type[MnistTfxError] = BadInput) -> dict[str, npt.NDArray[Any]]:
    """Return {name: array} of the bytes of an `.npz` file; see `parse_npy`.

    Args:
      data: the file.
      where: for the message.
      error: class of the error that is raised.

    Raises:
      MnistTfxError: of class `error`, if it is no such archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > LARGEST_ARRAYS:
                raise ValueError(f"more than {LARGEST_ARRAYS} bytes of arrays")
            # One member after the other, so that no more than one is there twice.
            return {
                member.filename.removesuffix(".npy"): parse_npy(
                    archive.read(member), where=f"{where}: {member.filename}", error=error
                )
                for member in members
            }
    except (*_FAULTS, *_ZIP_FAULTS) as err:
        raise error("not a NumPy archive", where=where, got=shortened(err, 120)) from err


def read_npz(
    path: str | os.PathLike[str], *, limit: int = LARGEST_ARRAYS, error: type[MnistTfxError] = BadInput
) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of an `.npz` file; see `components.untrusted.read_bytes` and `parse_npz`."""
    return parse_npz(read_bytes(path, limit=limit, error=error), where=path, error=error)
