"""What a compiled file asks for and no Kubeflow Pipelines can do; a file with such a problem is not written."""

from __future__ import annotations

from collections.abc import Iterator

from components.errors import BadInput
from pipeline.kubeflow import argo_text, buckets
from pipeline.kubeflow.compiler.targets import TARGETS
from pipeline.kubeflow.document import OSS, Document
from pipeline.kubeflow.lint import mounts


def refuse(document: Document) -> None:
    """Refuse a file that a server would refuse, or whose tasks could not read their data; names all problems at once.

    Raises:
      BadInput: if there is one.
    """
    problems = list(_problems(document))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise BadInput(f"{len(problems)} problems", where=document.name, got="; ".join(map(str, problems)))


def _problems(document: Document) -> Iterator[BadInput]:
    if document.target != OSS:
        return
    target = TARGETS[OSS]
    for task, uri in buckets.foreign_data(document):
        if buckets.needs_credentials(uri):
            yield BadInput(
                "in another bucket than the pipeline root, and KFP's launcher has credentials for the root's alone",
                where=f"--data ({task.name})",
                wanted=f"{buckets.bucket(document.root or '')}/...",
                got=uri,
                hint="copy the data there, or keep the root in the data's bucket with --pipeline-root",
            )
    for fault in (*mounts.mounts(document, target), *mounts.shared_places(document, target)):
        yield BadInput(fault.what, where=fault.where, hint=fault.hint)
    for path, placeholder in argo_text.in_document(document):
        yield BadInput("a placeholder of Argo's", where=path, wanted=argo_text.WANTED, got=placeholder)
