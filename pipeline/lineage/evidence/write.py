"""Evidence about a version as a file: page, PDF or package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from components import disk
from components.errors import BadInput
from components.files import replacing
from pipeline.audit.audit import DEFAULTS, AuditOptions
from pipeline.lineage.evidence.facts import Facts, collect_facts

HTML, PDF, ZIP = "html", "pdf", "zip"


def write_evidence(  # noqa: PLR0913  # what is written, where, and how it is audited
    root: Path,
    version: int | None,
    target: Path | BinaryIO,
    *,
    form: str | None = None,
    options: AuditOptions = DEFAULTS,
    with_model: bool = False,
) -> Facts:
    """Write what an auditor is shown of a served version, by default the newest; the same root gives the same bytes.

    Args:
      root: of the pipeline.
      version: its number.
      target: a file, which is written whole or not at all, or a binary stream.
      form: one of `FORMS`; by default the one that the file's name ends with.
      options: how to audit; its public key goes into the zip.
      with_model: whether the zip holds the served files too.

    Raises:
      BadInput: if the version is not there, or the form is none.
      EnvironmentProblem: if something cannot be read or written, or a PDF is wanted and there is no Chromium.
    """
    make = _maker(form or _form_of(target))
    facts = collect_facts(root, version, options)
    data = make(facts, options.key, with_model)
    if isinstance(target, Path):
        _write(target, data)
    else:
        target.write(data)
    return facts


def _form_of(target: Path | BinaryIO) -> str:
    return target.suffix.removeprefix(".").lower() if isinstance(target, Path) else ZIP


def _maker(form: str) -> Callable[[Facts, Path | None, bool], bytes]:
    if form not in FORMS:
        raise BadInput("no form of evidence", where="-o", wanted=" or ".join(f".{name}" for name in FORMS), got=form)
    return FORMS[form]


def _html(facts: Facts, key: Path | None, with_model: bool) -> bytes:
    del key, with_model
    from pipeline.lineage.evidence.page import page

    return page(facts).encode()


def _pdf(facts: Facts, key: Path | None, with_model: bool) -> bytes:
    del key, with_model
    from pipeline.lineage.evidence.page import page
    from pipeline.lineage.evidence.pdf import pdf_of

    return pdf_of(page(facts), facts.time)


def _zip(facts: Facts, key: Path | None, with_model: bool) -> bytes:
    from pipeline.lineage.evidence.package import package

    return package(facts, key=key, with_model=with_model)


FORMS: Final[Mapping[str, Callable[[Facts, Path | None, bool], bytes]]] = {HTML: _html, PDF: _pdf, ZIP: _zip}
"""{ending of the file's name: function that makes the bytes}."""


def _write(path: Path, data: bytes) -> None:
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as err:
        raise disk.problem(err, "cannot write the evidence", where=path, need=len(data)) from err
