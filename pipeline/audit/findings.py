"""Findings and verdicts of an audit, and the words and JSON that say so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

from components.errors import MnistTfxError, printable
from pipeline.provenance.approvals import Approval

INTEGRITY, COMPLETENESS, POLICY = "INTEGRITY", "COMPLETENESS", "POLICY"
VERDICTS: Final = (INTEGRITY, COMPLETENESS, POLICY)
PASS, FAIL, UNKNOWN, WARN = "PASS", "FAIL", "UNKNOWN", "WARN"

NO_ANCHOR, HEAD, SIGNATURE = "none", "head", "signature"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is not as it was recorded, or not as the policy wants it.

    Attributes:
      verdict: `INTEGRITY`, `COMPLETENESS` or `POLICY`.
      link: the kind of link that is broken, such as `served file`, `record` or `ledger`; a rule's name for POLICY.
      where: the file, record or line, relative to the root.
      what: what is wrong.
      wanted: what was recorded.
      got: what was found.
      level: `FAIL`, `UNKNOWN` where nobody can tell, or `WARN`.
    """

    verdict: str
    link: str
    where: str
    what: str
    wanted: str | None = None
    got: str | None = None
    level: str = FAIL

    def __str__(self) -> str:
        text = f"{self.verdict} {self.level} {self.link}: {self.where}: {self.what}"
        if self.wanted is not None:
            text += f": wanted {self.wanted}"
        if self.got is not None:
            text += f"{',' if self.wanted is not None else ':'} got {self.got}"
        return printable(text)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return dataclasses.asdict(self)

    @staticmethod
    def of(err: MnistTfxError, verdict: str, link: str, where: str) -> Finding:
        """Return what a known error says, about `where`."""
        wanted, got = (None if value is None else str(value) for value in (err.wanted, err.got))
        return Finding(verdict=verdict, link=link, where=where, what=err.what, wanted=wanted, got=got)


def integrity(  # noqa: PLR0913  # the fields of a finding
    link: str, where: str, what: str, *, wanted: str | None = None, got: str | None = None, level: str = FAIL
) -> Finding:
    """Return the finding that something is not what was recorded."""
    return Finding(verdict=INTEGRITY, link=link, where=where, what=what, wanted=wanted, got=got, level=level)


def completeness(  # noqa: PLR0913  # the fields of a finding
    link: str, where: str, what: str, *, wanted: str | None = None, got: str | None = None, level: str = FAIL
) -> Finding:
    """Return the finding that something is missing, or that two witnesses disagree."""
    return Finding(verdict=COMPLETENESS, link=link, where=where, what=what, wanted=wanted, got=got, level=level)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Anchor:
    """What vouches for the root from outside it.

    Attributes:
      kind: `none`, `head` or `signature`.
      detail: what that means, in words.
    """

    kind: str = NO_ANCHOR
    detail: str = "self-consistent, not proven: whoever can write to all of it can rewrite all of it alike"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """How much was looked at.

    Attributes:
      files: hashed.
      bytes: in them.
      records: behind the version.
      ledger_lines: in the whole chain.
      executions: in the metadata store that agree.
    """

    files: int = 0
    bytes: int = 0
    records: int = 0
    ledger_lines: int = 0
    executions: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scope:
    """What a verdict is about.

    Attributes:
      compared: with one another, in words.
      left_out: what was not compared, in words; None if nothing was left out.
    """

    compared: str
    left_out: str | None = None

    def __str__(self) -> str:
        return printable(self.compared if self.left_out is None else f"{self.compared}; not compared: {self.left_out}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """The answer about one served directory.

    Attributes:
      version: its number; None for a directory that is no version of the root.
      path: of the directory.
      sha256: the model's tree digest as its manifest tells it; None if there is none to read.
      anchor: what vouches for the root from outside.
      findings: along the path, nearest to the served bytes first.
      counts: how much was looked at.
      scopes: {verdict: what it is about}.
      autoencoder: whether one is behind the version; None where the records do not tell.
      own_code: {file of the user's own code behind the version: nodes that ran it}.
      approvals: of its bytes, oldest first, whatever they are worth.
      records: hashes of those behind it, as far as they could be read.
    """

    version: int | None
    path: str
    sha256: str | None
    anchor: Anchor
    findings: tuple[Finding, ...]
    counts: Counts
    scopes: Mapping[str, Scope]
    autoencoder: bool | None = None
    own_code: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    records: frozenset[str] = frozenset()

    @property
    def verdicts(self) -> Mapping[str, str]:
        """{`INTEGRITY`, `COMPLETENESS`, `POLICY`: `PASS`, `FAIL` or `UNKNOWN`}."""
        return {verdict: _verdict(f.level for f in self.findings if f.verdict == verdict) for verdict in VERDICTS}

    def first(self, verdict: str) -> Finding | None:
        """Return the first broken link of a verdict."""
        broken = [finding for finding in self.findings if finding.verdict == verdict]
        return next((finding for finding in broken if finding.level == FAIL), next(iter(broken), None))

    @property
    def result(self) -> str:
        """The worst of the three verdicts."""
        return _verdict(self.verdicts.values())

    def passed(self, *, allow_unknown: bool = False) -> bool:
        """Whether all three verdicts are PASS, or nothing worse than UNKNOWN where that is allowed."""
        return self.result == PASS or (allow_unknown and self.result == UNKNOWN)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON values."""
        return {
            "version": self.version,
            "path": self.path,
            "sha256": self.sha256,
            "verdicts": dict(self.verdicts),
            "scopes": {verdict: dataclasses.asdict(scope) for verdict, scope in self.scopes.items()},
            "anchor": dataclasses.asdict(self.anchor),
            "findings": [finding.to_dict() for finding in self.findings],
            "counts": dataclasses.asdict(self.counts),
            "autoencoder": self.autoencoder,
            "own_code": {path: list(nodes) for path, nodes in self.own_code.items()},
            "approvals": [dataclasses.asdict(approval) for approval in self.approvals],
        }


def _verdict(levels: Iterable[str]) -> str:
    result = set(levels)
    return FAIL if FAIL in result else UNKNOWN if UNKNOWN in result else PASS
