"""The report as a file: what the commands and the end of a run call."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components import disk
from components.errors import MnistTfxError
from components.files import remove_dead_parts, replacing
from pipeline.lineage.export.drawn import html
from pipeline.lineage.export.origin import collect
from pipeline.metadata.reader import StoreReader
from pipeline.process import trace
from pipeline.report import kept_chapters, run_data
from pipeline.report.asking import Ask, answered, own_process
from pipeline.report.model_answers import Arrays
from pipeline.report.page import chapters, drafted, laid_out, prepare
from pipeline.root.paths import RunPaths
from pipeline.root.writable import check_places

LIMIT = 4_000_000
"""Bytes of a page; what it draws is sampled to stay far below."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """A report that was written.

    Attributes:
      run_id: the run it is about.
      path: where it lies.
      bytes: its size.
      unanswered: why the models could not be asked; empty if they were, or there are none.
    """

    run_id: str
    path: Path
    bytes: int
    unanswered: str = ""


def write(
    root: Path,
    run_id: str | None = None,
    *,
    output: Path | None = None,
    ask: Ask = own_process,
    reader: StoreReader | None = None,
) -> Report:
    """Write the report on a run, by default the newest, into the root's reports.

    Args:
      root: of the pipeline.
      run_id: of the run; may be cut short.
      output: another file to write.
      ask: what asks the models.
      reader: asks the metadata store for the audit; by default a new one.

    Raises:
      BadInput: if there is no such run.
      EnvironmentProblem: if a record cannot be read, or the file not be written.
    """
    check_output(RunPaths(root), output)
    with trace.span("report: records"):
        evidence = run_data.gather(root, run_id, reader)
    kept = kept_chapters.read(evidence)
    # The models answer in a process of their own, and the metadata store in another; what they have no part in is drawn in
    # the meantime.
    with ThreadPoolExecutor(max_workers=2) as beside:
        future = None if kept else beside.submit(_asked, evidence, ask)
        audited = beside.submit(_audited, evidence)
        with trace.span("report: templates"):
            prepare(kept)
        with trace.span("report: audit and lineage page"):
            audited.result()
            lineage = "" if output is not None else _lineage(evidence)
            is_proven = kept_chapters.is_proven(evidence)
        if kept and not is_proven:
            kept, future = {}, beside.submit(_asked, evidence, ask)
        with trace.span("report: what needs no model"):
            draft = drafted(evidence, lineage, kept)
        with trace.span("report: answers of the models", trace.WAIT):
            answers, unanswered = ({}, "") if future is None else future.result()
    with trace.span("report: what the models answer"):
        parts = chapters(evidence, answers, draft)
        path = output or evidence.paths.report(evidence.run.run_id)
        size = keep(path, laid_out(evidence, parts, unanswered))
        if output is None:
            remove_dead_parts(path.parent)
        if is_proven and not kept and not unanswered:
            kept_chapters.write(evidence, parts)
    return Report(run_id=evidence.run.run_id, path=path, bytes=size, unanswered=unanswered)


def check_output(paths: RunPaths, output: Path | None) -> None:
    """Check that a page can be written, before the models are asked.

    Raises:
      EnvironmentProblem: naming the folder that cannot be written.
    """
    check_places(paths, paths.report("").parent if output is None else output.absolute().parent)


def _lineage(evidence: run_data.RunData) -> str:
    """Write the page of the lineage of the run's version beside the report; return its address, empty if it has none."""
    version, run_id = evidence.run.version, evidence.run.run_id
    if version is None:
        return ""
    try:
        audit, found = evidence.audit, collect(evidence.paths.root, version)
        if found.lineage.run_id != run_id:
            return ""  # another run pushed the same bytes before, or others under this number since
        path = evidence.paths.lineage_page(run_id)
        keep(path, html(found, report=evidence.paths.report(run_id).name, audit=audit))
    except MnistTfxError:
        return ""  # the version or a record behind it is gone
    return path.name


def _audited(evidence: run_data.RunData) -> None:
    """Have the audit made; why there is none says whoever needs it."""
    with contextlib.suppress(MnistTfxError):
        _ = evidence.audit


def _asked(evidence: run_data.RunData, ask: Ask) -> tuple[Arrays, str]:
    """Return what the models answer, and why they do not."""
    try:
        return answered(evidence, ask), ""
    except MnistTfxError as err:
        return {}, str(err)


def keep(path: Path, text: str) -> int:
    """Write a page whole or not at all, and return its size.

    Raises:
      EnvironmentProblem: if it cannot be written.
    """
    data = text.encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(data)
    except OSError as err:
        raise disk.problem(err, "cannot write the report", where=path, need=len(data)) from err
    return len(data)


def after_run(
    root: Path,
    run_id: str,
    say: Callable[[str], None],
    ask: Ask = own_process,
    reader: StoreReader | None = None,
) -> Path | None:
    """Write the report on a run that has just ended and return it; None where it says in a line why there is none."""
    try:
        report = write(root, run_id, ask=ask, reader=reader)
    except Exception as err:  # noqa: BLE001  # the run is what matters; its outcome stands whatever happens here
        say(f"warning: no report: {err if isinstance(err, MnistTfxError) else f'{type(err).__name__}: {err}'}")
        return None
    if report.unanswered:
        say(f"warning: report without what the models answer: {report.unanswered}")
    return report.path
