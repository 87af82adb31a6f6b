"""The page about a served version: HTML for a reader who is no engineer, to print or to read, without a script."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from components.features import TEST, TRAIN, VALIDATION
from pipeline.lineage.evidence import words
from pipeline.lineage.evidence.facts import CodeFacts, Facts
from pipeline.lineage.evidence.words import RuleInWords, VerdictInWords
from pipeline.lineage.export.html import rendered

TEMPLATE: Final = Path(__file__).with_name("page.html.j2")
USES: Final = {TRAIN: "To learn from", VALIDATION: "To choose by", TEST: "To test with"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Words:
    """The sentences of the page."""

    summary: str
    removed: str | None
    in_service: str
    signature: str
    verdicts: tuple[VerdictInWords, ...]
    rules: tuple[RuleInWords, ...]
    limits: tuple[str, ...]
    how_to_check: tuple[tuple[str, str], ...]
    code: Callable[[CodeFacts], str]
    uses: Mapping[str, str]


def page(facts: Facts) -> str:
    """Return the page; the same facts give the same text."""
    sentences = _Words(
        summary=words.summary(facts),
        removed=words.removed(facts),
        in_service=words.in_service(facts),
        signature=words.signature(facts),
        verdicts=words.verdicts(facts),
        rules=words.rules(facts),
        limits=tuple(words.limits(facts)),
        how_to_check=words.how_to_check(facts),
        code=words.code,
        uses=USES,
    )
    style = TEMPLATE.with_name("page.css").read_text(encoding="utf-8")
    return rendered(TEMPLATE, style=style, facts=facts, words=sentences)
