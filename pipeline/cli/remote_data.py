"""Data in object stores on the command line: fetched once everything else that was given is known to be right."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.errors import LISTS, PARTS, MnistTfxError
from components.ingest.copy_paths import readable
from pipeline.datasets.stores.address import Address


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteData:
    """The value of a parameter before its data is fetched.

    Attributes:
      address: where it lies.
      as_text: whether the command takes the path of the copies as text.
    """

    address: Address
    as_text: bool = False

    def __str__(self) -> str:
        """Return the address."""
        return str(self.address)


@contextlib.contextmanager
def fetched(given: dict[str, Any]) -> Iterator[None]:
    """Put the paths of copies in place of the addresses among a command's parameters, for as long as it runs.

    Its errors name the addresses, and not the copies.

    Raises:
      MnistTfxError: if they cannot be fetched, or as the command raises it.
    """
    try:
        if any(isinstance(one, RemoteData) for value in given.values() for one in _each(value)):
            from pipeline.cli import progress

            with progress.bars(in_bytes=True) as show:
                count = given.get("spans") or 1
                given.update({name: _local(value, count, show) for name, value in given.items()})
        yield
    except MnistTfxError as err:
        raise in_addresses(err)  # noqa: B904  # the same error


def in_addresses(err: MnistTfxError) -> MnistTfxError:
    """Return an error with the address in place of each path of a copy."""
    for part in PARTS:
        if (value := getattr(err, part)) is not None and (text := readable(str(value))) != str(value):
            setattr(err, part, text)
    for part in LISTS:
        setattr(err, part, tuple(map(readable, getattr(err, part))))
    for problem in err.problems:
        if problem is not err:
            in_addresses(problem)
    return err


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _local(value: Any, count: int, show: Callable[[str, int, int], None]) -> Any:
    if isinstance(value, tuple):
        return tuple(_local(one, count, show) for one in value)
    if not isinstance(value, RemoteData):
        return value
    from pipeline.datasets.stores import copies

    path: Path = copies.fetch(value.address, count=count, show=show)
    return str(path) if value.as_text else path
