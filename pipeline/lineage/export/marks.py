"""The nodes of the graph that the findings of an audit are about, by path."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from pipeline.lineage.show import ServedLineage
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.statement import RECORDS

FAIL, POLICY = "FAIL", "POLICY"
INPUTS: Final = "inputs/"
"""Where a root keeps the copies of data and schema that ingest and `ReviewedSchema` name in their parameters."""

_RECORD: Final = re.compile(re.escape(RECORDS) + r"([0-9a-f]{64})\.json")


class AuditFinding(Protocol):
    """What `audit` answers with; its text says it all."""

    @property
    def verdict(self) -> str:
        """`INTEGRITY`, `COMPLETENESS` or `POLICY`."""

    @property
    def where(self) -> str:
        """A file or record, relative to the root."""

    @property
    def level(self) -> str:
        """`FAIL`, `UNKNOWN` or `WARN`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mark:
    """A finding as a picture shows it; `node` is None if it breaks none, such as a line of the ledger or a rule."""

    node: str | None
    message: str


def marks(
    lineage: ServedLineage, records: Mapping[str, ExecutionRecord], findings: Iterable[AuditFinding]
) -> tuple[Mark, ...]:
    """Return a mark for every finding that failed.

    Args:
      lineage: what is drawn.
      records: of its executions, by hash.
      findings: of an audit of the version.
    """
    owners = {lineage.path: lineage.id}
    for id_, record in records.items():
        owners |= {entry.path: id_ for entry in record.artifacts}
        owners |= {path: id_ for path in map(str, record.parameters.values()) if path.startswith(INPUTS)}
    failed = [finding for finding in findings if finding.level == FAIL]
    return tuple(Mark(node=_owner(finding, owners), message=str(finding)) for finding in failed)


def _owner(finding: AuditFinding, owners: Mapping[str, str]) -> str | None:
    if finding.verdict == POLICY:
        return None  # a rule that does not hold breaks no link
    if record := _RECORD.match(finding.where):
        return record[1]
    names = finding.where.split("/")
    folders = ("/".join(names[:count]) for count in range(len(names), 0, -1))
    return next((owners[folder] for folder in folders if folder in owners), None)
