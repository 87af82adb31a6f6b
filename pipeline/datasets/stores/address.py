"""Addresses in object stores, `s3://bucket/key` and the like, taken literally: no query, no credentials, no escapes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from typing_extensions import Self

from components.errors import BadInput
from components.ingest import spans
from components.ingest.copy_paths import SCHEMES

EXAMPLES: Final = "s3://bucket/prefix, gs://bucket/prefix or hdfs://namenode:8020/path"
LONGEST_NAME: Final = 255
"""Bytes of a name that a file system takes; a key of S3 may have 1024 between two slashes."""

_ADDRESS: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}(:[0-9]{1,5})?")


@dataclass(frozen=True, kw_only=True)
class Address:
    """An object, or all objects below a prefix.

    Attributes:
      scheme: one of `SCHEMES`.
      bucket: its name; on HDFS the NameNode, with its port, or the name service.
      key: without a slash at its start; one at its end says that it is a prefix. Empty for the whole bucket.
    """

    scheme: str
    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address.

        Raises:
          BadInput: if it is none, or none that files can be named by; a password in it is not repeated.
        """
        match = _ADDRESS.fullmatch(text)
        scheme = scheme_of(text)
        if match is None or scheme not in SCHEMES:
            raise _unknown(scheme)
        authority, _, key = match["rest"].partition("/")
        if "@" in authority:
            hint = "credentials belong into the environment or a profile, as every tool for this store reads them"
            raise BadInput("an address does not hold credentials", wanted=EXAMPLES, hint=hint)
        if not _BUCKET.fullmatch(authority):
            raise BadInput("no such bucket can be", wanted=EXAMPLES, got=f"{scheme}://{authority}")
        if not text.isprintable():
            raise BadInput("holds control characters", got=text)
        require_usable(key.removesuffix("/"), text)
        return cls(scheme=scheme, bucket=authority, key=key)

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.scheme}://{self.bucket}/{self.key}"

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for spans."""
        return spans.is_pattern(str(self))

    @property
    def is_prefix(self) -> bool:
        """Whether it can only be a prefix."""
        return not self.key or self.key.endswith("/")

    def of(self, key: str) -> str:
        """Return the address of an object in the same bucket, for people."""
        return f"{self.scheme}://{self.bucket}/{key}"


def is_address(text: str) -> bool:
    """Return whether a text is an address in some store, known or not, and no path of this machine."""
    return _ADDRESS.fullmatch(text) is not None


def scheme_of(text: str) -> str:
    """Return the scheme of an address, in lower case; empty where there is none."""
    match = _ADDRESS.fullmatch(text)
    return "" if match is None else match["scheme"].lower()


def require_usable(key: str, where: object) -> None:
    """Refuse a key that no path of files can stand for.

    Raises:
      BadInput: naming it.
    """
    names = key.split("/") if key else []
    if any(name in {"", ".", ".."} for name in names):
        raise BadInput("no file can have such a key", where=where, wanted="no part that is empty, . or ..", got=where)
    if any(len(name.encode()) > LONGEST_NAME for name in names):
        raise BadInput("no file can have such a key", where=where, wanted=f"{LONGEST_NAME} bytes a part", got=where)
    if not key.isprintable():
        raise BadInput("no file can have such a key", where=where, wanted="printable characters", got=where)


def _unknown(scheme: str) -> BadInput:
    """Return the refusal of another scheme, which repeats nothing: a presigned address is a password."""
    if scheme in ("http", "https"):
        hint = "download it, with `curl -O` or the like, and name the file; or name its bucket as s3:// or gs://"
        return BadInput("data is not read from web addresses", wanted=EXAMPLES, got=f"{scheme}://...", hint=hint)
    if scheme in ("s3a", "s3n"):
        return BadInput("data is read from s3:// alone", wanted=EXAMPLES, got=f"{scheme}://", hint="write s3://")
    if scheme == "minio":
        hint = "write s3:// and name the server in AWS_ENDPOINT_URL; minio:// is KFP's own, for `kubeflow compile`"
        return BadInput("no address that this machine can open", wanted=EXAMPLES, got="minio://", hint=hint)
    return BadInput("no store of this scheme is known", wanted=EXAMPLES, got=f"{scheme or 'none'}://")
