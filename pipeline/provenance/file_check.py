"""The comparison of files with what was recorded of them, and the check of a folder against its statement.

Nothing of our records is needed, and nothing in the folder is trusted: links are named and never followed, names out of
the statement are compared and never opened, and what is no ordinary file is not read.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.digest import is_provenance, manifest_digest
from components.errors import BadInput, EnvironmentProblem
from components.serving import PROVENANCE, SIGNATURE
from pipeline.provenance.artifacts import checked_path
from pipeline.provenance.plain_files import FILE, LINK, UNREADABLE, Seen, digest_or_problem
from pipeline.provenance.statement import digest_of, manifest_of

ENVELOPE: Final = SIGNATURE
"""The signed statement; like the statement itself it is no part of the model's digest."""

BESIDE: Final = (PROVENANCE, ENVELOPE)
"""What may lie in a served version beside the files that its statement names."""

MISSING, EXTRA, CHANGED, REPLACED = "missing", "extra", "changed", "replaced"
SYMLINK, SPECIAL, NAME, STATEMENT = "symlink", "not a file", "unsafe name", "statement"

Files = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """A file that is not as recorded.

    Attributes:
      path: relative to the folder.
      kind: `missing`, `extra`, `changed`, or `replaced` by what is no file, or another link.
      recorded: its entry in the manifest; None of an extra one.
      seen: what is there; None of a missing one.
    """

    path: str
    kind: str
    recorded: Mapping[str, Any] | None = None
    seen: Seen | None = None


def compare(recorded: Files, seen: Mapping[str, Seen]) -> Iterator[Difference]:
    """Yield how files differ from what was recorded, in the order of their paths; waits for their digests."""
    for path in sorted(recorded.keys() | seen.keys()):
        wanted, got = recorded.get(path), seen.get(path)
        if wanted is None or got is None:
            yield Difference(path=path, kind=EXTRA if wanted is None else MISSING, recorded=wanted, seen=got)
        elif got.kind != (FILE if "sha256" in wanted else f"{LINK}{wanted.get('symlink')}"):
            yield Difference(path=path, kind=REPLACED, recorded=wanted, seen=got)
        elif got.kind != FILE:
            continue  # the link that was recorded
        # The size first: a file of another size need not have been hashed.
        elif got.bytes != wanted.get("bytes") or digest_or_problem(got) != wanted["sha256"]:
            yield Difference(path=path, kind=CHANGED, recorded=wanted, seen=got)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One way in which a folder is not what its statement says.

    Attributes:
      what: such as `missing` or `changed`.
      path: the file, relative to the folder.
      wanted: what the statement says, such as a digest.
      found: what is there.
    """

    what: str
    path: str
    wanted: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        compared = (f"{word} {value}" for word, value in (("wanted", self.wanted), ("got", self.found)) if value)
        return ": ".join(filter(None, (f"{self.path}: {self.what}", ", ".join(compared))))


def check(statement: Mapping[str, Any], seen: Mapping[str, Seen]) -> tuple[Fault, ...]:
    """Return the faults of a folder, by path; none if it holds the statement's files and nothing else.

    Args:
      statement: as `parse_statement` gives it.
      seen: what is in the folder, a served version or a copy of one, as `listing` gives it with all digests.

    Raises:
      EnvironmentProblem: if something in the folder cannot be read.
    """
    for path, one in seen.items():
        if one.kind.startswith(UNREADABLE):
            raise EnvironmentProblem("cannot read", where=path, got=one.kind)
        if one.sha256 is not None:
            one.sha256.result()
    beside = [path for path in BESIDE if path in seen]
    faults = [*_statement_faults(statement)]
    faults += [_replaced(path, seen[path], None) for path in beside if seen[path].kind != FILE]
    model = {path: one for path, one in seen.items() if path not in BESIDE}
    faults += [_fault(difference) for difference in compare(manifest_of(statement), model)]
    return tuple(sorted(faults, key=lambda fault: (fault.path, fault.what)))


def _fault(difference: Difference) -> Fault:
    wanted, seen, path = difference.recorded, difference.seen, difference.path
    if wanted is None or seen is None:
        return Fault(what=difference.kind, path=path, wanted=None if wanted is None else _described(wanted))
    if difference.kind == REPLACED:
        return _replaced(path, seen, _described(wanted))
    result = {"sha256": digest_or_problem(seen), "bytes": seen.bytes}
    return Fault(what=CHANGED, path=path, wanted=_described(wanted), found=_described(result))


def _replaced(path: str, seen: Seen, wanted: str | None) -> Fault:
    if seen.kind.startswith(LINK):
        target = f"a link to {seen.kind.removeprefix(LINK)}"
        return Fault(what=SYMLINK, path=path, wanted=wanted, found=target)
    return Fault(what=SPECIAL, path=path, wanted=wanted)


def _described(file: Mapping[str, Any]) -> str:
    return f"SHA-256 {file['sha256']} of {file.get('bytes')} bytes"


def _statement_faults(statement: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with the statement's own list of files."""
    names = [item["name"] for item in statement["subject"]]
    for name, times in Counter(names).items():
        if times > 1:
            yield Fault(what=STATEMENT, path=name, wanted="each file once", found=f"{times} times")
    files = manifest_of(statement)
    for name in files:
        try:
            safe = not is_provenance(checked_path(name))
        except BadInput:
            safe = False
        if not safe:
            yield Fault(what=NAME, path=name)
    if (got := manifest_digest(files)) != (wanted := digest_of(statement)):
        yield Fault(what=STATEMENT, path=".", wanted=f"tree digest {wanted}", found=got)
