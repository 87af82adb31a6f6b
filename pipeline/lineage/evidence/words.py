"""The facts in sentences for a reader who is no engineer: the verdicts, the signature, the limits, how to check."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

from components.errors import printable
from pipeline.audit.findings import COMPLETENESS, FAIL, HEAD, INTEGRITY, PASS, POLICY, SIGNATURE, VERDICTS, WARN
from pipeline.audit.policy import OFF, RULES
from pipeline.lineage.evidence.facts import CodeFacts, Facts
from pipeline.provenance.git import CLEAN, DIRTY
from pipeline.provenance.records import moment

QUESTIONS: Final = {
    INTEGRITY: "Are these the bytes that were recorded?",
    COMPLETENESS: "Is the record whole, and do its witnesses agree?",
    POLICY: "Were the rules kept?",
}
_YES: Final = {
    INTEGRITY: "What is served, what was kept of its making, and the data behind it were read again, and every byte is as recorded",
    COMPLETENESS: "No step between the data and the served model is missing, and records, ledger and metadata store say the same",
    POLICY: "Every rule that was asked is kept",
}
_NO: Final = {
    INTEGRITY: "Something is not as it was recorded",
    COMPLETENESS: "Something is missing, or two witnesses disagree",
    POLICY: "A rule is broken",
}
_OPEN: Final = "Something could not be read, so nobody can say; that is no yes"

ANSWERS: Final = {PASS: "Yes", FAIL: "No"}
CANNOT_TELL: Final = "It cannot be told"


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerdictInWords:
    """One verdict of the audit.

    Attributes:
      name: as the audit calls it.
      result: `PASS`, `FAIL` or `UNKNOWN`.
      question: that it answers.
      answer: yes, no, or that it cannot be told.
      sentence: what that means.
      compared: what it rests on.
      findings: what was found, a line each.
    """

    name: str
    result: str
    question: str
    answer: str
    sentence: str
    compared: str
    findings: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuleInWords:
    """One rule of the policy: what it asks, and what became of it."""

    name: str
    text: str
    state: str


def verdicts(facts: Facts) -> tuple[VerdictInWords, ...]:
    """Return the three verdicts in words."""
    return tuple(_verdict(facts, name) for name in VERDICTS)


def _verdict(facts: Facts, name: str) -> VerdictInWords:
    result = facts.audit.verdicts[name]
    sentences = {PASS: _YES[name], FAIL: _NO[name]}
    return VerdictInWords(
        name=name,
        result=result,
        question=QUESTIONS[name],
        answer=ANSWERS.get(result, CANNOT_TELL),
        sentence=sentences.get(result, _OPEN),
        compared=str(facts.audit.scopes[name]),
        findings=tuple(str(finding) for finding in facts.audit.findings if finding.verdict == name),
    )


def rules(facts: Facts) -> tuple[RuleInWords, ...]:
    """Return the rules of the policy in words, those that were not asked too."""
    levels = {finding.link: finding.level for finding in facts.audit.findings if finding.verdict == POLICY}
    states = {None: "kept", WARN: "broken; the policy takes it for a warning", FAIL: "broken"}
    return tuple(
        RuleInWords(
            name=name,
            text=RULES[name].text,
            state="not asked" if level == OFF else states.get(levels.get(name), "cannot be told"),
        )
        for name, level in facts.policy.levels.items()
    )


def summary(facts: Facts) -> str:
    """Return the verdict as a whole in one sentence."""
    if facts.audit.result == PASS:
        return "All three questions of the audit are answered with yes."
    wrong = [QUESTIONS[name] for name in VERDICTS if facts.audit.verdicts[name] == FAIL]
    if wrong:
        return f"The audit found something wrong: {' '.join(wrong)} No."
    return "Something could not be read, so the audit cannot tell; what it is stands below."


def in_service(facts: Facts) -> str:
    """Return from when to when the version was the one to load."""
    period = facts.period
    if facts.staged is not None:
        waits = "it waits" if facts.removed is None else "it waited"
        return f"never: {waits} for its promotion since {moment(facts.staged)} UTC, where no server looks"
    if period.start is None:
        return "not known: no push of it is recorded"
    if period.end is None:
        return f"from {moment(period.start)} UTC; it is the one to load now"
    return f"from {moment(period.start)} to {moment(period.end)} UTC, when {period.why}"


def removed(facts: Facts) -> str | None:
    """Return what is left of a version that was pruned; None of one that is there."""
    if facts.removed is None:
        return None
    return (
        f"Its files were removed from the folder, {moment(facts.removed.time)} UTC, by line {facts.removed.line} of the "
        "ledger. What stands here comes from the records, which name every file by its digest, and was not compared with the "
        "files themselves."
    )


def code(state: CodeFacts) -> str:
    """Return a state of the code in words."""
    git = state.git
    if git.commit is None:
        return "no version control: the files themselves were digested, step by step, and no commit is known"
    if git.tree == CLEAN:
        return f"commit {git.commit}, and nothing that was not committed"
    if git.tree == DIRTY:
        return f"commit {git.commit} with changes that were not committed (their digest: {git.diff_sha256})"
    return f"commit {git.commit}; whether all was committed is not known"


def signature(facts: Facts) -> str:
    """Return in words who signed, and whether that was checked."""
    known = facts.signature
    if facts.removed is not None:
        return "A signature lies beside the files that it is about: it was removed with them, if there was one."
    if known.checked:
        return f"Signed, and checked with the public key that was given: {printable(known.detail)}."
    if known.checked is False:
        return f"NOT vouched for by the key that was given: {printable(known.detail)}."
    if known.keyids:
        keys = " and ".join(printable(keyid) for keyid in known.keyids)
        return f"It carries a signature that names key {keys}. No public key was given, so it was not checked here."
    return "It is not signed."


def limits(facts: Facts) -> Iterator[str]:
    """Yield what is not proven, a sentence or two each."""
    if facts.audit.anchor.kind == SIGNATURE:
        yield (
            "The signature says who vouches for these bytes and their origin. It cannot say that this is the version "
            "that ought to be in service, and it is worth as much as the care with which the key is kept."
        )
    elif facts.audit.anchor.kind == HEAD:
        yield "The ledger holds the head that was kept elsewhere: nothing up to that line can have been rewritten since."
    else:
        yield (
            "Nothing outside the folder vouches for it: no signature was checked, and no head of the ledger that was kept "
            "elsewhere. The records agree with one another, but whoever could write to all of them could have rewritten "
            "all of them alike."
        )
    if facts.removed is not None:
        yield (
            "Whether the files that were served are those that the records name: they are gone. A copy that somebody kept can "
            "be compared with the digests, file by file (python3 evidence/check.py --model FOLDER), and a signature that was "
            "kept with it by its key. Without a copy there is the ledger's word alone."
        )
    yield (
        "What happened before the data files were read: who collected them, whether they might be used for this, and "
        "whether their labels are right. Source and licence are statements of whoever wrote the recipe; nobody checked them."
    )
    yield (
        "Whether a server was running, and whom it answered. In service means: the version that a server of this folder "
        "loads. Times are those of the machine's clock; the order of the events is the ledger's."
    )
    yield (
        "That the machine which computed was honest, and that the packages do what their names say. Their names and versions "
        "are recorded; mnist-tfx lineage reproduce computes again and compares."
    )
    yield (
        "That the model is right, fair or fit for a purpose. Its accuracy is that on test images of the same source as those "
        "it learned from; other images may give another."
    )


def how_to_check(facts: Facts) -> tuple[tuple[str, str], ...]:
    """Return three commands that check the package of this version, each with what it does."""
    return (
        ("unzip evidence.zip -d evidence", "the package of this version: mnist-tfx lineage evidence writes it"),
        (
            f"python3 evidence/check.py --expect-head {facts.head}",
            "needs Python alone; the numbers are better taken from a copy that was kept elsewhere than from this page",
        ),
        (
            f"mnist-tfx lineage audit {facts.version}",
            "the same question to the folder itself, with all data and artifacts",
        ),
    )
