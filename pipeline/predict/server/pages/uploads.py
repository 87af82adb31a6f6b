"""Files that a browser sends with a form: read within bounds, kept in a folder of the server's own while they are looked at."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from PIL import Image
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from components.errors import BadInput, MnistTfxError
from pipeline.predict.server.pages.site import Site
from pipeline.predict.server.status import RequestError, invalid

FORM: Final = "multipart/form-data"
FIELD: Final = "file"
MOST_FILES: Final = 4
"""Such as the images and the labels of two parts."""

MOST_PIXELS: Final = 16_000_000
"""Of a picture, more than a telephone's usual 12 million: a transparent one of 49 million took 1 GB and 16 s to read."""

_NAME: Final = re.compile(r"[^\w.+-]+", re.ASCII)
_LONGEST_NAME: Final = 80


@dataclasses.dataclass(frozen=True, kw_only=True)
class Upload:
    """A file that was sent.

    Attributes:
      name: as the browser calls it, made fit for a file's.
      content: its bytes.
    """

    name: str
    content: bytes


async def read_form(site: Site, request: Request) -> list[Upload]:
    """Return the files of a form, those that were left empty by the user left out.

    Raises:
      RequestError: if it is no such form, is too large, or does not come in time.
      BadInput: if it has no file.
    """
    if not request.headers.get("content-type", "").lower().startswith(FORM):
        raise RequestError(invalid("").code, f"wanted {FORM}, with the file as `{FIELD}`", http=415)
    # It says a line of its own about every form that is none.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    body = await site.body(request)

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        async with Request(request.scope, receive).form(max_files=MOST_FILES, max_fields=MOST_FILES) as form:
            sent = [one for one in form.getlist(FIELD) if not isinstance(one, str) and (one.filename or one.size)]
            uploads = [Upload(name=one.filename or "", content=await one.read()) for one in sent]
    except (MultiPartException, HTTPException, ValueError, KeyError) as err:
        raise invalid(f"not a form: {getattr(err, 'message', None) or getattr(err, 'detail', err)}") from None
    if not uploads:
        raise BadInput("no file was sent", hint="choose one")
    names = _names([one.name for one in uploads])
    return [dataclasses.replace(one, name=name) for one, name in zip(uploads, names, strict=True)]


@contextlib.contextmanager
def kept_briefly(uploads: Sequence[Upload]) -> Iterator[list[Path]]:
    """Yield files with what was sent, and remove them afterwards; errors about them name them as the user does.

    Raises:
      MnistTfxError: whatever was raised about them.
    """
    with tempfile.TemporaryDirectory(prefix="upload-") as folder:
        paths = [Path(folder) / one.name for one in uploads]
        for path, one in zip(paths, uploads, strict=True):
            path.write_bytes(one.content)
        try:
            yield paths
        except MnistTfxError as err:
            if err.where is not None:
                err.where = without_folder(str(err.where), paths)
            if isinstance(err.got, str):
                err.got = without_folder(err.got, paths)
            raise


def without_folder(text: str, paths: Sequence[Path]) -> str:
    """Return a text that names files as the user does."""
    return text.replace(f"{paths[0].parent}/", "")


def require_small_picture(path: Path) -> None:
    """Refuse a picture of more pixels than are worth decoding; what is no picture passes.

    Raises:
      BadInput: if it has too many.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        width, height = MOST_PIXELS, MOST_PIXELS
    except Exception:  # noqa: BLE001  # Pillow's readers raise nearly anything; whoever reads it says what is wrong
        return
    if width * height > MOST_PIXELS:
        raise BadInput("is too large a picture", where=path, wanted=f"{MOST_PIXELS:,} pixels at most")


def _names(given: Sequence[str]) -> list[str]:
    """Return names that are those of files, and of no two the same."""
    names: list[str] = []
    for number, name in enumerate(given, start=1):
        plain = _NAME.sub("_", re.split(r"[/\\]", name)[-1])[-_LONGEST_NAME:].lstrip(".-") or f"file-{number}"
        names.append(f"{number}-{plain}" if plain in names else plain)
    return names
