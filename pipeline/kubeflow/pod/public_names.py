"""Names of a pod's folders that mean something outside it: mounts and URIs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from components.errors import MnistTfxError


@contextlib.contextmanager
def public_names(names_of: Mapping[str, str]) -> Iterator[None]:
    """Have errors of the block name what the pod's folders stand for.

    Args:
      names_of: {folder of the pod: what it stands for}.
    """
    try:
        yield
    except MnistTfxError as err:
        name_places(err, names_of)
        raise


def name_places(err: MnistTfxError, names_of: Mapping[str, str]) -> None:
    """Have an error name volumes and URIs where it names folders of the pod, which are gone when somebody reads it."""
    for part in ("what", "where", "wanted", "got", "hint"):
        for folder, name in names_of.items():
            if folder in (text := str(getattr(err, part) or "")):
                setattr(err, part, text.replace(folder, name))
