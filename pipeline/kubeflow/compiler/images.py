"""References of container images: form, tag, digest, and the name of the GPU variant.

The grammar is that of https://github.com/distribution/reference/blob/main/reference.go.
"""

from __future__ import annotations

import re
from typing import Final

from components.errors import BadInput

GPU_SUFFIX: Final = "-gpu"
LATEST: Final = "latest"
WANTED: Final = "[HOST[:PORT]/]NAME[:TAG][@sha256:64 hexadecimal digits], the name in lower case"

_HOST: Final = (
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
)
_STEP: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DIGEST: Final = r"@(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})"
REFERENCE: Final = re.compile(
    rf"(?P<name>(?:{_HOST}(?::[0-9]+)?/)?{_STEP}(?:/{_STEP})*)"
    rf"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?P<digest>{_DIGEST})?"
)


def is_reference(image: str) -> bool:
    """Whether a container runtime can read it."""
    return REFERENCE.fullmatch(image) is not None


def require_reference(image: str, where: str) -> None:
    """Refuse what no container runtime can read.

    Raises:
      BadInput: with the grammar.
    """
    if not is_reference(image):
        raise BadInput("no reference of an image", where=where, wanted=WANTED, got=repr(image))


def is_pinned(image: str) -> bool:
    """Whether the reference says which bytes are meant."""
    match = REFERENCE.fullmatch(image)
    return match is not None and match["digest"] is not None


def tag(image: str) -> str:
    """Return the tag; a reference without one means `latest`."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2] or LATEST


def gpu_variant(image: str) -> str:
    """Return the reference of the same image with CUDA, which is pushed under the tag with `-gpu` behind it.

    Raises:
      BadInput: for an image pinned by digest, whose variant has a digest that cannot be guessed.
    """
    if "@" in image:
        raise BadInput(
            "the GPU image cannot be told from a digest",
            where=image,
            hint="name it with --gpu-image, or train on CPUs with --gpus 0",
        )
    without_tag = image if not image.rpartition("/")[2].count(":") else image.rpartition(":")[0]
    return f"{without_tag}:{tag(image)}{GPU_SUFFIX}"
