"""The page `/impact`: the models that a data file or picture went into, in which role, and what shows it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import Route

from components.errors import BadInput, CannotTell, EnvironmentProblem
from pipeline.lineage import impact_text
from pipeline.lineage.impact import Impact, impact
from pipeline.lineage.index import open_lineage
from pipeline.lineage.rows import proofs
from pipeline.lineage.rows.proofs import RowProof
from pipeline.lineage.rows.usage import USES
from pipeline.predict.server.pages.form_page import FormPage
from pipeline.predict.server.pages.site import Site
from pipeline.predict.server.pages.uploads import Upload, kept_briefly, read_form, require_small_picture, without_folder
from pipeline.provenance.statement import MERKLE, read_provenance

MOST_BYTES: Final = 256 << 20
"""Of one file, unpacked: MNIST's training images are 47 MB, and a few megabytes can be packed gigabytes."""

MOST_ROWS: Final = 1_000_000
SHARE: Final = 0.5
"""Of a request's time that reading may take; what has been compared until then is said."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckedProof:
    """A proof, and whether it holds.

    Attributes:
      proof: it.
      faults: why it does not hold; none where it does.
      versions: served versions whose own provenance carries its root.
    """

    proof: RowProof
    faults: tuple[str, ...]
    versions: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImpactAnswer:
    """What was asked, and the answer.

    Attributes:
      found: the answer.
      proofs: those of a picture, checked.
    """

    found: Impact
    proofs: tuple[CheckedProof, ...]

    @property
    def heading(self) -> str:
        """What the question is about."""
        return impact_text.heading(self.found)

    @property
    def answer(self) -> str:
        """In words: yes, no, or that it cannot be told and why."""
        return impact_text.answer(self.found)

    @property
    def evidence(self) -> tuple[str, ...]:
        """What it rests on."""
        return tuple(impact_text.evidence(self.found))

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is worth knowing."""
        return (*(self.found.unknown if self.found.models else ()), *self.found.notes)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values: those of `mnist-tfx lineage impact`, and of each proof whether it holds."""
        checked = [
            {"root": one.proof.root.hex(), "holds": not one.faults, "served_by": one.versions} for one in self.proofs
        ]
        return {**self.found.to_dict(), "proofs_checked": checked}


def routes(site: Site) -> list[Route]:
    """Return the page, and the same as JSON."""
    return _ImpactPage(site, uses=USES).routes()


class _ImpactPage(FormPage[ImpactAnswer]):
    path, template, script = "/impact", "impact.html.j2", "impact.js"

    async def find(self, request: Request) -> ImpactAnswer:
        uploads = await read_form(self._site, request)
        return await self._site.run(self._ask, uploads, time.monotonic() + self._site.service.limits.seconds * SHARE)

    def _ask(self, uploads: Sequence[Upload], until: float) -> ImpactAnswer:
        with kept_briefly(uploads) as paths:
            for path in paths:
                require_small_picture(path)
            found = impact(open_lineage(self._site.root), [str(path) for path in paths], _Bounds(until).show)
            found = dataclasses.replace(found, unknown=tuple(without_folder(one, paths) for one in found.unknown))
            return ImpactAnswer(found=found, proofs=tuple(_checked(self._site.root, found)))


class _Bounds:
    """Ends the reading of what is too large, or takes too long."""

    def __init__(self, until: float) -> None:
        self._until = until

    def show(self, doing: str, done: int, total: int) -> None:
        del total
        if doing == "rows" and done > MOST_ROWS:
            raise BadInput("has more rows than a page compares", wanted=f"{MOST_ROWS:,} at most", hint=_HINT)
        if doing != "rows" and done > MOST_BYTES:
            raise BadInput("is too large, unpacked", wanted=f"{MOST_BYTES:,} bytes at most", hint=_HINT)
        if time.monotonic() > self._until:
            raise CannotTell("there was no time to read the rest", hint=_HINT)


_HINT: Final = "mnist-tfx lineage impact has no such bound"


def _checked(root: Path, found: Impact) -> list[CheckedProof]:
    """Return the proofs of an answer, each checked against its root, with the versions that carry that root."""
    carried = {one.version: _roots(root, one.version) for one in found.models if one.version is not None and one.served}
    return [
        CheckedProof(
            proof=proof,
            faults=tuple(proofs.faults(proof, proof.root, found.picture)),
            versions=tuple(version for version, roots in carried.items() if proof.root.hex() in roots),
        )
        for proof in found.proofs
    ]


def _roots(root: Path, version: int) -> frozenset[str]:
    """Return the Merkle roots that a served version's provenance carries."""
    try:
        definition: Mapping[str, Any] = read_provenance(root, version)["predicate"]["buildDefinition"]
        return frozenset(one["digest"][MERKLE] for one in definition["resolvedDependencies"] if MERKLE in one["digest"])
    except (EnvironmentProblem, KeyError, TypeError):
        return frozenset()
