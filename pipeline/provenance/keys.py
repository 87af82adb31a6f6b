"""Key pairs for signatures, in PEM files.

Keys are what every other tool reads: PKCS #8 and SubjectPublicKeyInfo, so that OpenSSL can check a signature as well.
A key goes by the SHA-256 of its public half in DER, whatever file it was read from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from components import disk, untrusted
from components.errors import BadInput
from components.files import folder_made, sync_folder

ECDSA, ED25519 = "ecdsa-p256", "ed25519"
ALGORITHMS: Final = (ECDSA, ED25519)
PRIVATE_FILE: Final = "private.pem"
PUBLIC_FILE: Final = "public.pem"
WANTED: Final = "an ECDSA key on P-256 or an Ed25519 key, in PEM"

LIMIT: Final = 64 << 10
"""Bytes; a PEM file of such a key has some hundred."""

VARIABLE: Final = "MNIST_TFX_KEY_PASSPHRASE"
"""A passphrase comes from here or from the terminal, never from the command line, where other users could read it."""

Passphrase = Callable[[], str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublicKey:
    """What checks signatures: an ECDSA key on P-256, with SHA-256, or an Ed25519 key."""

    key: Any

    @functools.cached_property
    def keyid(self) -> str:
        """SHA-256 of the key in DER."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return hashlib.sha256(self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    @functools.cached_property
    def pem(self) -> str:
        """The key as a PEM text."""
        return _public_pem(self.key).decode()

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` was made over `data` with the private half."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, data, *_ecdsa(self.key))
        except InvalidSignature:
            return False
        return True


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrivateKey:
    """What signs.

    Attributes:
      key: the private half; never printed.
      public: the other one.
    """

    key: Any = dataclasses.field(repr=False)
    public: PublicKey

    def sign(self, data: bytes) -> bytes:
        """Return the signature over `data`."""
        signature: bytes = self.key.sign(data, *_ecdsa(self.key))
        return signature


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeyPair:
    """Where a new pair of keys was written.

    Attributes:
      keyid: SHA-256 of the public key in DER.
      private: file that only its owner may read.
      public: file to give to whoever checks.
    """

    keyid: str
    private: Path
    public: Path


def generate(folder: Path, *, algorithm: str = ECDSA, passphrase: str | None = None) -> KeyPair:
    """Make a pair of keys; nothing is ever replaced.

    Args:
      folder: made if need be, closed to others.
      algorithm: one of `ALGORITHMS`.
      passphrase: encrypts the private key; None leaves it readable to whoever can read the file.

    Raises:
      BadInput: if one of the files is there already, or the passphrase is empty.
      EnvironmentProblem: if the folder cannot be written.
    """
    pair = (folder / PRIVATE_FILE, folder / PUBLIC_FILE)
    if passphrase == "":
        raise BadInput("empty passphrase", where=pair[0])
    private_key = _new_key(algorithm)
    try:
        with folder_made(folder, mode=0o700):
            _write_pair(pair, (_private_pem(private_key, passphrase), _public_pem(private_key.public_key())))
    except FileExistsError as err:
        raise BadInput(
            "there is a key already", where=err.filename, hint="a key is never replaced; choose another folder"
        ) from err
    except OSError as err:
        raise disk.problem(err, "cannot write the keys", where=folder) from err
    return KeyPair(keyid=PublicKey(key=private_key.public_key()).keyid, private=pair[0], public=pair[1])


def load_private(path: Path, passphrase: Passphrase) -> PrivateKey:
    """Return the private key in a file.

    Args:
      path: PEM file.
      passphrase: called only where the file is encrypted.

    Raises:
      BadInput: if it holds no such key, or the passphrase is wrong.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path)
    # As the two kinds of PEM say it: PKCS #8, and OpenSSL's own.
    encrypted = b"ENCRYPTED PRIVATE KEY" in data or b"Proc-Type: 4,ENCRYPTED" in data
    secret = passphrase().encode() if encrypted else None
    try:
        key = load_pem_private_key(data, secret)
    except (ValueError, TypeError) as err:
        what = "cannot be decrypted: wrong passphrase, or damaged" if encrypted else "not a private key"
        hint = "this is the public half" if b"BEGIN PUBLIC KEY" in data else None
        raise BadInput(what, where=path, wanted=WANTED, hint=hint) from err
    return PrivateKey(key=key, public=_checked(key.public_key(), path))


def load_public(path: Path) -> PublicKey:
    """Return the public key in a file.

    Raises:
      BadInput: if it holds no such key.
    """
    return parse_public(_read(path), where=path)


def parse_public(data: bytes, *, where: object) -> PublicKey:
    """Return the public key in a PEM text.

    Raises:
      BadInput: if it holds no such key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as err:
        hint = "this is the private half: keep it away from where copies are checked" if b"PRIVATE" in data else None
        raise BadInput("not a public key", where=where, wanted=WANTED, hint=hint) from err
    return _checked(key, where)


def _new_key(algorithm: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    return ed25519.Ed25519PrivateKey.generate() if algorithm == ED25519 else ec.generate_private_key(ec.SECP256R1())


def _checked(key: Any, path: object) -> PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    on_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    if not on_p256 and not isinstance(key, ed25519.Ed25519PublicKey):
        raise BadInput("not a kind of key that is used here", where=path, wanted=WANTED, got=type(key).__name__)
    return PublicKey(key=key)


def _ecdsa(key: Any) -> tuple[Any, ...]:
    """Return what `sign` and `verify` of a key want to know besides the bytes: the hash, if they are ECDSA."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    is_ecdsa = isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey))
    return (ec.ECDSA(hashes.SHA256()),) if is_ecdsa else ()


def _public_pem(public_key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def _private_pem(private_key: Any, passphrase: str | None) -> bytes:
    from cryptography.hazmat.primitives import serialization

    encryption = (
        serialization.NoEncryption()
        if passphrase is None
        else serialization.BestAvailableEncryption(passphrase.encode())
    )
    pem: bytes = private_key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return pem


def _write_pair(paths: tuple[Path, Path], contents: tuple[bytes, bytes]) -> None:
    """Write private and public half; a half without the other is taken away again."""
    _create(paths[0], contents[0], 0o600)
    try:
        _create(paths[1], contents[1], 0o644)
    except OSError:
        paths[0].unlink()
        raise
    sync_folder(paths[0].parent)


def _create(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _read(path: Path) -> bytes:
    return untrusted.read_bytes(path, limit=LIMIT)


def passphrase() -> str:
    """Return the passphrase of a key that is encrypted.

    Raises:
      BadInput: if it is not in the environment and nobody can be asked.
    """
    return _enter(twice=False)


def new_passphrase() -> str:
    """Return the passphrase for a new key, typed twice if it is typed; raises as `passphrase` does."""
    return _enter(twice=True)


def _enter(*, twice: bool) -> str:
    if (from_environment := os.environ.get(VARIABLE)) is not None:
        return from_environment
    if not sys.stdin.isatty():
        raise BadInput("the key needs a passphrase", wanted=f"{VARIABLE} in the environment, or a terminal to ask on")
    import click  # of the command line alone

    entered: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=twice, err=True)
    return entered
