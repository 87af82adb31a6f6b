"""Buckets of a compiled file: which of its data KFP's launcher can open.

The launcher has credentials for the pipeline root. For an artifact it takes them only if scheme and bucket are the
root's, and else opens the bucket with what its environment gives it (`launcher_v2.go` and `object_store.go` of
kubeflow/pipelines, 2.2 to 2.17). For `s3://` and `gs://` that may be a role of the pod's account; for `minio://`, whose
address and keys are in KFP's configuration alone, it is nothing: `failed to list objects ... Invalid region`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.kubeflow.document import Document, Task


def bucket(uri: str) -> str:
    """Return scheme and bucket of a URI, such as `minio://mlpipeline`."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def needs_credentials(uri: str) -> bool:
    """Return whether no environment of a pod opens a bucket of this scheme."""
    return uri.startswith("minio://")


def foreign_data(document: Document) -> Iterator[tuple[Task, str]]:
    """Yield the importers, with their URIs, of data in another bucket than the pipeline root's, where that is known."""
    if document.root is None or "://" not in document.root:
        return
    for task in document.tasks.values():
        uri = document.imported(task)
        if uri is not None and "://" in uri and bucket(uri) != bucket(document.root):
            yield task, uri


def launcher_says(uri: str) -> str:
    """Return the words with which KFP's launcher fails on a bucket that it has no credentials for."""
    return f'failed to list objects in remote storage "{bucket(uri).partition("://")[2]}": Invalid region'
