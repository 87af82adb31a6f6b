"""Check this package of evidence about a served model, offline, with Python 3.8 or newer and nothing else.

    python3 check.py                           # all that the package can show by itself
    python3 check.py --expect-head LINES:HASH  # and that its ledger holds a head that you kept elsewhere
    python3 check.py --key public.pem          # and that the owner of a key that you trust signed it
    python3 check.py --model FOLDER            # and that a copy of the served model is the one that is meant
    python3 check.py --data FILE ...           # and that these are data files that the model was made from

A line begins with `ok`, `WRONG` or `NOT CHECKED`. The exit code is 0 if nothing is wrong, 1 if something is, 2 for a wrong
command line, and 5 if a signature was to be checked with your key and cannot be: Python's own library knows no
signatures, so that it takes the package `cryptography` or the program `openssl`, whichever is there.

What this cannot show: whoever can rewrite the whole package can make another one that is as consistent. So compare
something that they could not change: the SHA-256 of the zip file, the head of the ledger, or the signature.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Python 3.8 cannot evaluate what follows
    from collections.abc import Callable, Iterable, Iterator

    Line = tuple[str, str]
    Entries = dict[str, dict[str, Any]]
    Verifier = Callable[[bytes, bytes, bytes], bool]

OK, WRONG, OPEN = "ok", "WRONG", "NOT CHECKED"
MANIFEST, STATEMENT, SIGNATURE, PUBLIC_KEY = "manifest.json", "statement.json", "signature.dsse.json", "public-key.pem"
LEDGER, FACTS, DATA_FILES, RECORDS, MODEL = "ledger.jsonl", "facts.json", "data-files.json", "records", "model"

STATEMENT_TYPES = ("https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1")
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BESIDE = "assets.extra/provenance"  # the statement and its signature lie beside the model's files, and are none of them
FIRST = "0" * 64
PUSHES = ("pushed", "staged", "promoted")
ECDSA, ED25519 = bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2b6570")  # object identifiers, in DER


class Wrong(Exception):
    """Something is not as it was written."""


class Package:
    """The files of a package, each read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes:
        """Return the bytes of a file; no link is followed."""
        path = self.folder / name
        if path.is_symlink() or not path.is_file():
            raise Wrong(f"{name}: missing")
        return path.read_bytes()

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.folder / name).is_file()

    def json(self, name: str) -> Any:
        """Return the values in a file of canonical JSON."""
        data = self.read(name)
        value = json.loads(data.decode())
        if canonical(value) != data:
            raise Wrong(f"{name}: not as it was written")
        return value

    def names(self) -> list[str]:
        """Return the names of everything in it, sorted."""
        found = []
        for place, folders, files in os.walk(str(self.folder)):
            links = [name for name in folders if os.path.islink(os.path.join(place, name))]
            found += [os.path.relpath(os.path.join(place, name), str(self.folder)) for name in files + links]
        return sorted(name.replace(os.sep, "/") for name in found)

    def record(self, hash_: str) -> dict[str, Any]:
        """Return a record, whose name is the digest of its bytes."""
        name = f"{RECORDS}/{hash_}.json"
        data = self.read(name)
        if sha256(data) != hash_:
            raise Wrong(f"{name}: changed, its digest is {sha256(data)}")
        return dict(json.loads(data.decode()))

    def records(self) -> dict[str, dict[str, Any]]:
        """Return all records by hash."""
        prefix = f"{RECORDS}/"
        hashes = [name[len(prefix) :].rpartition(".")[0] for name in self.names() if name.startswith(prefix)]
        return {hash_: self.record(hash_) for hash_ in hashes}


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` as hex digits."""
    return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, no white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def check_manifest(package: Package) -> Iterator[Line]:
    """Compare every file with what was packed."""
    listed: Entries = package.json(MANIFEST)
    faults = 0
    names = [name for name in package.names() if name != MANIFEST]
    for name in sorted(set(listed) | set(names)):
        problem = _file_problem(package, name, listed)
        if problem is not None:
            faults += 1
            yield WRONG, f"{name}: {problem}"
    if not faults:
        yield OK, f"{len(listed)} files are those that were packed"


def _file_problem(package: Package, name: str, listed: Entries) -> str | None:
    if name not in listed:
        return "nobody packed it"
    if os.path.isabs(name) or ".." in name.split("/"):
        return "no name of a file in here"
    try:
        data = package.read(name)
    except Wrong:
        return "missing"
    if {"bytes": len(data), "sha256": sha256(data)} != listed[name]:
        return f"changed: wanted {listed[name]['sha256']}, got {sha256(data)}"
    return None


def model_files(statement: dict[str, Any]) -> tuple[Entries, str]:
    """Return {file of the model: size and digest} and the digest of the model as a whole."""
    files: Entries = {}
    tree = ""
    for item in statement["subject"]:
        digest = item["digest"]
        if "sha256" in digest:
            entry = dict(item.get("annotations", {}))
            entry["sha256"] = digest["sha256"]
            files[item["name"]] = entry
        tree = digest.get("treeSha256", tree)
    return files, tree


def check_statement(package: Package) -> Iterator[Line]:
    """Recompute the model's digest from those of its files."""
    statement = package.json(STATEMENT)
    if (statement["_type"], statement["predicateType"]) != STATEMENT_TYPES:
        raise Wrong(f"{STATEMENT}: another kind of statement")
    files, tree = model_files(statement)
    if sha256(canonical(files)) != tree:
        raise Wrong(f"{STATEMENT}: the model's digest is not that of the files it lists")
    yield OK, f"the statement names {len(files)} files of the model, digest {tree}"


def check_records(package: Package) -> Iterator[Line]:
    """Follow the records from the model to the data: each names what it read by the record that made it."""
    statement, records = package.json(STATEMENT), package.records()
    definition = statement["predicate"]["buildDefinition"]["internalParameters"]
    named = [one["record"] for one in definition["executions"]] + list(definition["heads"])
    for hash_ in named:
        if hash_ not in records:
            raise Wrong(f"{RECORDS}/{hash_}.json: missing, and the statement names it")
    count = sum(_count_sources(hash_, records) for hash_ in records)
    _, tree = model_files(statement)
    if not any(entry["sha256"] == tree for record in records.values() for entry in _outputs(record)):
        raise Wrong(f"{RECORDS}: none of them made the model")
    yield OK, f"{len(records)} records, whole and unchanged; {count} links between them hold"


def _count_sources(hash_: str, records: dict[str, dict[str, Any]]) -> int:
    """Return how many artifacts an execution read, each of which has to be one that the named record made."""
    count = 0
    for refs in records[hash_].get("inputs", {}).values():
        for ref in refs:
            maker = ref.get("record")
            if maker is None:
                continue
            if maker not in records:
                raise Wrong(f"{RECORDS}/{maker}.json: missing, and {hash_}.json names it")
            if not any(
                (one["path"], one["sha256"]) == (ref["path"], ref["sha256"]) for one in _outputs(records[maker])
            ):
                raise Wrong(f"{RECORDS}/{hash_}.json: what it read is not what {maker}.json made")
            count += 1
    return count


def _outputs(record: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return [entry for entries in record.get("outputs", {}).values() for entry in entries]


def check_ledger(package: Package, expected: str | None) -> Iterator[Line]:
    """Follow the chain of the ledger, and find the push and the records in it."""
    facts = package.json(FACTS)
    lines = _chain(package.read(LEDGER)) if package.has(LEDGER) else []
    head = f"{len(lines)}:{lines[-1]['digest'] if lines else FIRST}"
    if head != facts["head"]:
        raise Wrong(f"{LEDGER}: its head is {head}, and that of the evidence {facts['head']}")
    if not lines:
        yield OPEN, "there was no ledger: the order of the events and the push are not shown"
        return
    _, tree = model_files(package.json(STATEMENT))
    if facts["sha256"] != tree:
        raise Wrong(f"{FACTS}: about another model than the statement")
    pushed = [line for line in lines if line["event"] in PUSHES and line.get("version") == facts["version"]]
    if pushed and tree not in [line.get("sha256") for line in pushed]:
        raise Wrong(f"{LEDGER}: version {facts['version']} was pushed with another model")
    committed = {line["record"] for line in lines if line["event"] in ("commit", "run")}
    loose = sorted(set(package.records()) - committed)
    if loose:
        raise Wrong(f"{RECORDS}/{loose[0]}.json: no line of the ledger commits it")
    yield OK, f"the chain of {len(lines)} lines is whole, and holds all records; its head is {head}"
    if not pushed:
        yield OPEN, f"no line tells of the push of version {facts['version']}"
    if facts["removed"] is not None:
        yield _removed(lines, facts)
    yield _expected(lines, expected)


def _removed(lines: list[dict[str, Any]], facts: dict[str, Any]) -> Line:
    number = facts["removed"]["line"]
    line = lines[number - 1] if 0 < number <= len(lines) else {}
    if (line.get("event"), line.get("version")) != ("pruned", facts["version"]):
        raise Wrong(f"{LEDGER} line {number}: does not remove version {facts['version']}")
    return OK, f"line {number} removes version {facts['version']}: what is told of it comes from the records"


def _chain(data: bytes) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for text in data.split(b"\n")[:-1]:
        number = len(lines) + 1
        line = dict(json.loads(text.decode()))
        digest = line.pop("digest")
        before = lines[-1]["digest"] if lines else FIRST
        if canonical(dict(line, digest=digest)) != text or sha256(canonical(line)) != digest:
            raise Wrong(f"{LEDGER} line {number}: edited")
        if line["sequence"] != number or line["previous"] != before:
            raise Wrong(f"{LEDGER} line {number}: does not follow the line before")
        lines.append(dict(line, digest=digest))
    return lines


def _expected(lines: list[dict[str, Any]], expected: str | None) -> Line:
    if expected is None:
        return (
            OPEN,
            "whether the ledger was rewritten as a whole: --expect-head with a head that was kept elsewhere tells",
        )
    number, _, digest = expected.partition(":")
    place = int(number) if number.isdigit() else 0
    if not 0 < place <= len(lines) or lines[place - 1]["digest"] != digest:
        raise Wrong(f"{LEDGER}: does not hold the expected head {expected}")
    return OK, f"the ledger holds the expected head {expected}"


def check_data(package: Package, given: list[Path]) -> Iterator[Line]:
    """Compare the list of data files with what the records say was read."""
    listed = package.json(DATA_FILES)
    read = sorted(
        (file["name"], file["payload_digest"])
        for record in package.records().values()
        for file in record.get("extra", {}).get("data", {}).get("files", [])
    )
    if sorted((one["kept_as"], one["sha256"]) for one in listed) != read:
        raise Wrong(f"{DATA_FILES}: not what the records say was read")
    yield OK, f"{len(listed)} data files, by the digests that the records have"
    for path in given:
        digest = content_digest(path)
        names = [one["name"] for one in listed if one["sha256"] == digest]
        yield (OK, f"{path} is {names[0]}") if names else (WRONG, f"{path}: none of the data files, digest {digest}")


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a data file, of what it decompresses to if it is gzip."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    digest = hashlib.sha256()
    with gzip.open(str(path)) if packed else path.open("rb") as content:
        for block in iter(lambda: content.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def check_model(package: Package, given: Path | None) -> Iterator[Line]:
    """Compare the served files with the statement."""
    packed = package.folder / MODEL
    if given is None and package.json(FACTS)["removed"] is not None:
        yield OPEN, "the served files are gone: --model FOLDER compares a copy of them, if somebody kept one"
        return
    if given is None and not packed.is_dir():
        yield OPEN, "the served files are not in the package: --model FOLDER compares a copy of them"
        return
    folder = Package(given or packed)
    files, tree = model_files(package.json(STATEMENT))
    names = [name for name in folder.names() if not name.startswith(BESIDE)]
    for name in sorted(set(files) | set(names)):
        problem = _file_problem(folder, name, files)
        if problem is not None:
            raise Wrong(f"{folder.folder.name}/{name}: {problem}")
    yield OK, f"{len(files)} served files are those that the statement names, digest {tree}"


def check_signature(package: Package, given: Path | None) -> Iterator[Line]:
    """Check the signature over the statement, if there is one and something that can."""
    if not package.has(SIGNATURE):
        if package.json(FACTS)["removed"] is not None:
            yield OPEN, "a signature, if there was one, was removed with the files"
            return
        if given is not None:
            raise Wrong(f"{SIGNATURE}: missing, there is no signature")
        yield OPEN, "it is not signed"
        return
    envelope = package.json(SIGNATURE)
    statement = package.read(STATEMENT)
    if envelope["payloadType"] != PAYLOAD_TYPE or _decoded(envelope["payload"]) != statement:
        raise Wrong(f"{SIGNATURE}: over something else than {STATEMENT}")
    yield OK, "the signature's envelope is around this very statement"
    own = package.folder / PUBLIC_KEY
    key = given if given is not None else own if own.is_file() else None
    if key is None:
        yield OPEN, "the signature itself: --key PUBLIC.pem names the key to check it with"
        return
    pem = key.read_bytes()
    kind = PAYLOAD_TYPE.encode()
    signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(statement), statement)
    signatures = [_decoded(one["sig"]) for one in envelope["signatures"]]
    verify = _verifier()
    if verify is None:
        yield OPEN, "the signature itself: that takes the Python package cryptography or the program openssl"
        return
    if not any(verify(pem, signature, signed) for signature in signatures):
        raise Wrong(f"{SIGNATURE}: not by key {key_id(pem)}")
    source = "that you gave" if given is not None else "that came with the package: compare its id with one you trust"
    yield OK, f"signed by key {key_id(pem)}, {source}"
    yield from _revoked(package, key_id(pem))


def _revoked(package: Package, keyid: str) -> Iterator[Line]:
    """Yield that the ledger takes the key's word back: the file of a signature does not prove when it was made."""
    for line in _chain(package.read(LEDGER)):
        if line["event"] == "key-revoked" and line["keyid"] == keyid:
            since = f"{line['since'][:19]}, says {LEDGER} line {line['sequence']}"
            yield OPEN, f"when it was signed: the key was revoked since {since}"


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


def key_id(pem: bytes) -> str:
    """Return the id of a public key: the SHA-256 of its DER."""
    return sha256(_der(pem))


def _der(pem: bytes) -> bytes:
    lines = [line.strip() for line in pem.decode("ascii").splitlines()]
    if "-----BEGIN PUBLIC KEY-----" not in lines:
        raise Wrong("the key: no public key in PEM")
    start, end = lines.index("-----BEGIN PUBLIC KEY-----"), lines.index("-----END PUBLIC KEY-----")
    return base64.b64decode("".join(lines[start + 1 : end]), validate=True)


def _verifier() -> Verifier | None:
    try:
        import cryptography  # noqa: F401  # whether it is there
    except ImportError:
        return _verified_by_openssl if shutil.which("openssl") else None
    return _verified_by_cryptography


def _verified_by_cryptography(pem: bytes, signature: bytes, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key: Any = serialization.load_pem_public_key(pem)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _verified_by_openssl(pem: bytes, signature: bytes, data: bytes) -> bool:
    der = _der(pem)
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("key.pem", "signature", "data")]
        for number, content in enumerate((pem, signature, data)):
            Path(names[number]).write_bytes(content)
        key, signed, content_file = names
        if ED25519 in der and ECDSA not in der:
            how = ["pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", content_file, "-sigfile", signed]
        else:
            how = ["dgst", "-sha256", "-verify", key, "-signature", signed, content_file]
        done = subprocess.run(["openssl", *how], capture_output=True, check=False)  # noqa: S607
    return done.returncode == 0


def checks(package: Package, given: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield (state, what was checked, what it came to), of every check, whatever the one before came to."""
    parts: tuple[tuple[str, Callable[[], Iterator[Line]]], ...] = (
        ("manifest", lambda: check_manifest(package)),
        ("statement", lambda: check_statement(package)),
        ("records", lambda: check_records(package)),
        ("ledger", lambda: check_ledger(package, given.expect_head)),
        ("data", lambda: check_data(package, given.data)),
        ("model", lambda: check_model(package, given.model)),
        ("signature", lambda: check_signature(package, given.key)),
    )
    for name, part in parts:
        try:
            for state, text in part():
                yield state, name, text
        except Wrong as err:  # noqa: PERF203  # the next check is made all the same
            yield WRONG, name, str(err)
        except Exception as err:  # noqa: BLE001  # whatever is in there that nobody writes is wrong, and no traceback
            yield WRONG, name, f"cannot be read: {type(err).__name__}: {err}"


def main(arguments: list[str] | None = None) -> int:
    """Check the package that this script lies in, and print a line to each thing that was checked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--expect-head", metavar="LINES:HASH", help="a head of the ledger that was kept elsewhere")
    parser.add_argument("--key", type=Path, metavar="FILE", help="public key (PEM) that has to have signed it")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="a copy of the served model")
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="FILE", help="data files to recognise")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    given = parser.parse_args(arguments)
    states = []
    for state, name, text in checks(Package(given.folder), given):
        states.append((state, name))
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        sys.stdout.write(f"{state:<12} {name:<10} {shown}\n")
    if any(state == WRONG for state, _ in states):
        return 1
    if given.key is not None and (OPEN, "signature") in states:
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
