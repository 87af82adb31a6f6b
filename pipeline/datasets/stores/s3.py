"""Amazon S3 and what speaks its interface (MinIO, Ceph, R2, ...), by boto3.

Endpoint, region, credentials and certificates are found as AWS' own tools find them: AWS_ENDPOINT_URL, AWS_REGION,
AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws, single sign-on, a pod's or a machine's role, AWS_CA_BUNDLE. Where there are no
credentials at all the bucket is asked without, as public ones allow.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's name for it
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
)

from components.errors import BadInput, EnvironmentProblem
from pipeline.datasets.stores.address import Address
from pipeline.datasets.stores.store import (
    CHUNK,
    CONNECT_S,
    PARALLEL,
    READ_S,
    BrokenError,
    ChangedError,
    StoredObject,
)

_GONE: Final = frozenset({"404", "412", "NoSuchKey", "NoSuchVersion", "PreconditionFailed"})
_ABSENT: Final = frozenset({"404", "NoSuchKey"})
_FORBIDDEN: Final = frozenset(
    {
        *("401", "403", "AccessDenied", "AllAccessDisabled", "AuthorizationHeaderMalformed", "ExpiredToken"),
        *("ExpiredTokenException", "Forbidden", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"),
    }
)
_USER: Final = re.compile(r"//[^/@\s\"']*@")


class S3:
    """One bucket."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._bucket = address.bucket
        with self._in_words():
            session = boto3.session.Session()
            self._signed = session.get_credentials() is not None
            config = Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"mode": "standard", "max_attempts": 4},
                max_pool_connections=PARALLEL + 2,
                **({} if self._signed else {"signature_version": UNSIGNED}),
            )
            self._client: Any = session.client("s3", config=config)
        self.endpoint = _without_user(self._client.meta.endpoint_url)

    def find(self, key: str) -> StoredObject | None:
        """Return the object of a key."""
        with self._in_words(key):
            try:
                told = self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as err:
                # Without the right to list, S3 answers 403 for a key that is not there.
                if _code(err) in _ABSENT:
                    return None
                raise
        return _stored({**told, "Key": key, "Size": told["ContentLength"]})

    def below(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects below a prefix, a thousand to a request."""
        for page in self._pages(prefix):
            yield from map(_stored, page.get("Contents", ()))

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below a prefix."""
        for page in self._pages(prefix, Delimiter="/"):
            yield from (one["Prefix"][len(prefix) :] for one in page.get("CommonPrefixes", ()))
            yield from (one["Key"][len(prefix) :] for one in page.get("Contents", ()))

    def read(self, one: StoredObject, start: int) -> _Reading:
        """Open an object at an offset, if its ETag is still the listing's."""
        part = {"Range": f"bytes={start}-"} if start else {}
        with self._in_words(one.key):
            try:
                told = self._client.get_object(Bucket=self._bucket, Key=one.key, IfMatch=f'"{one.etag}"', **part)
            except ClientError as err:
                if _code(err) in _GONE:
                    raise ChangedError from err
                raise
        return _Reading(self, one.key, told)

    def _pages(self, prefix: str, **more: str) -> Iterator[Mapping[str, Any]]:
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, **more))
        while True:
            with self._in_words(prefix):
                page = next(pages, None)
            if page is None:
                return
            yield page

    @contextlib.contextmanager
    def _in_words(self, key: str | None = None) -> Iterator[None]:
        """Turn what boto3 raises into one line; no message of its has more than the endpoint, whose user is cut out."""
        where = self._address if key is None else self._address.of(key)
        try:
            yield
        except ClientError as err:
            raise self._refusal(err, where) from err
        except FlexibleChecksumError as err:
            what = "not the bytes that the store has a checksum of"
            raise EnvironmentProblem(what, where=where, got=str(err), hint="try again") from err
        except ConnectionError as err:
            hint = "see to the network, to AWS_ENDPOINT_URL and to the profile's endpoint"
            what = "the store cannot be reached"
            raise EnvironmentProblem(what, where=where, got=_without_user(str(err)), hint=hint) from err
        except (
            BotoCoreError,
            ValueError,
        ) as err:  # a profile that is not there, half of a key, an endpoint without a scheme
            hint = "see to AWS_PROFILE, AWS_ENDPOINT_URL and the other settings of `aws`"
            what = "the store cannot be asked with these settings"
            raise EnvironmentProblem(what, where=where, got=_without_user(str(err)), hint=hint) from err

    def _refusal(self, err: ClientError, where: object) -> BadInput | EnvironmentProblem:
        code, status = _code(err), err.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        got = f"{code} ({status}) from {self.endpoint}" if str(status) != code else f"{code} from {self.endpoint}"
        if code == "NoSuchBucket":
            hint = "`aws s3 ls` lists your buckets; AWS_ENDPOINT_URL and AWS_PROFILE say whose are meant"
            return BadInput("no such bucket", where=self._address, wanted=self._bucket, got=got, hint=hint)
        if code == "InvalidObjectState":
            return EnvironmentProblem("the object is archived", where=where, got=got, hint="restore it first")
        if code in _FORBIDDEN:
            hint = (
                "s3:ListBucket and s3:GetObject are needed" if self._signed else "no credentials were found: set AWS_*"
            )
            return EnvironmentProblem("the store does not let us read", where=where, got=got, hint=hint)
        if status in (400, 404, 405, 501):
            hint = "is there S3 at AWS_ENDPOINT_URL?"
            return EnvironmentProblem("the store does not understand", where=where, got=got, hint=hint)
        return EnvironmentProblem("the store fails", where=where, got=got, hint="try again")


class _Reading:
    """The body of one answer."""

    def __init__(self, store: S3, key: str, told: Mapping[str, Any]) -> None:
        self._store = store
        self._key = key
        self._body = told["Body"]
        version = str(told.get("VersionId") or "")
        # A bucket without versions says nothing, or "null".
        self.version = "" if version == "null" else version

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes."""
        with contextlib.closing(self._body), self._store._in_words(self._key):  # noqa: SLF001  # one module
            try:
                yield from iter(lambda: self._body.read(CHUNK), b"")
            except (HTTPClientError, IncompleteReadError, ResponseStreamingError, OSError) as err:
                raise BrokenError(_without_user(str(err))) from err


def _stored(told: Mapping[str, Any]) -> StoredObject:
    return StoredObject(
        key=told["Key"],
        bytes=told["Size"],
        etag=told["ETag"].strip('"'),
        modified=told["LastModified"].isoformat(),
    )


def _code(err: ClientError) -> str:
    return str(err.response.get("Error", {}).get("Code"))


def _without_user(text: str) -> str:
    return _USER.sub("//", text)
