"""A compiled file as a whole: version and form, the pipeline's name, its root and its runtime parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipeline.kubeflow.compiler.targets import URI, Target
from pipeline.kubeflow.document import OSS, SCHEMA_VERSION, Document
from pipeline.kubeflow.kfp_version import written
from pipeline.kubeflow.lint.fault import WARNING, Fault
from pipeline.kubeflow.lint.fields import parse_problem

PIPELINE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""What KFP's server takes (backend/src/apiserver/template/v2_template.go)."""

DEFAULT_ROOT: Final = "minio://mlpipeline/v2/artifacts"
"""The launcher's default (`defaultPipelineRoot` in backend/src/v2/config/env.go of kubeflow/pipelines)."""

CONFINING: Final = (3, 0, 0)
PROFILES_SINCE: Final = (2, 15, 0)
"""The first release whose profile controller gives a namespace a policy of its own for the bucket."""

COMPILE_AGAIN: Final = "compile it with `mnist-tfx kubeflow compile`"


def form(document: Document, target: Target) -> Iterator[Fault]:
    """Find the other target's form: Kubeflow Pipelines takes a PipelineSpec, Vertex AI a PipelineJob around it."""
    if document.target != target.name:
        got = "PipelineSpec" if document.target == OSS else "PipelineJob"
        what = f"a {got}, which {target.title} does not take"
        yield Fault(where="file", what=what, hint=f"compile with --target {target.name}")


def messages(document: Document, _: Target) -> Iterator[Fault]:
    """Find what the server cannot read into KFP's messages; fields that these do not have are another rule's."""
    from kfp.pipeline_spec import pipeline_spec_pb2

    parts = (
        ("PipelineSpec", document.spec, pipeline_spec_pb2.PipelineSpec()),
        ("deploymentSpec", document.spec.get("deploymentSpec"), pipeline_spec_pb2.PipelineDeploymentConfig()),
        ("platform document", document.platform, pipeline_spec_pb2.PlatformSpec()),
    )
    for where, values, message in parts:
        problem = parse_problem(values or {}, message)
        if problem is not None:
            yield Fault(where=where, what=f"no message of KFP's: {problem}", hint=COMPILE_AGAIN)


def schema_version(document: Document, target: Target) -> Iterator[Fault]:
    """Find a version of the schema that KFP's server does not take, such as TFX's default."""
    got = document.spec.get("schemaVersion")
    if target.name == OSS and got != SCHEMA_VERSION:
        what = f"{got}, and Kubeflow Pipelines supports {SCHEMA_VERSION} alone"
        yield Fault(where="schemaVersion", what=what, hint=COMPILE_AGAIN)


def pipeline_name(document: Document, _: Target) -> Iterator[Fault]:
    """Find a name that the server does not take: it is part of every artifact's URI."""
    if PIPELINE_NAME.fullmatch(document.name) is None:
        what = f"{document.name!r} is no name of a pipeline"
        yield Fault(where="pipelineInfo.name", what=what, hint="lower case letters, digits, - and .")


def pipeline_root(document: Document, target: Target) -> Iterator[Fault]:
    """Find a root that is missing, as in TFX's own YAML, or in no bucket that the target can use."""
    if document.root is None:
        hint = "compile with --pipeline-root, or name it when the run is submitted"
        # A server of Kubeflow Pipelines has a root of its own for such files.
        level = {"level": WARNING} if target.name == OSS else {}
        yield Fault(where="pipeline root", what="missing", hint=hint, **level)
        return
    match = URI.fullmatch(document.root)
    if "?" in document.root:
        what = f"{document.root} has a query, and no URI below it begins with it"
        yield Fault(where="pipeline root", what=what, hint="say region and endpoint in the configmap kfp-launcher")
    elif match is None or match["scheme"] not in target.schemes:
        what = f"{document.root} is in no bucket that {target.title} can use"
        yield Fault(where="pipeline root", what=what, hint=f"one of {', '.join(s + '://' for s in target.schemes)}")


def default_root(document: Document, target: Target) -> Iterator[Fault]:
    """Find roots, and imported data, outside the launcher's default, to which Kubeflow Pipelines 3.0 confines artifacts."""
    if target.name != OSS or target.namespace:
        return
    places = [("pipeline root", document.root or "")]
    if target.version >= CONFINING:
        places += [(task.name, document.imported(task) or "") for task in document.tasks.values()]
    for where, uri in places:
        is_outside = "://" in uri and not f"{uri}/".startswith(f"{DEFAULT_ROOT}/")
        # An s3:// or gs:// bucket takes a configuration anyway, in which its root can be named.
        if is_outside and (uri.startswith("minio://") or target.version >= CONFINING):
            what = (
                f"{uri} is outside {DEFAULT_ROOT}, and Kubeflow Pipelines {written(CONFINING)} refuses artifacts there"
            )
            hint = "keep it below that, or have the configmap kfp-launcher name another defaultPipelineRoot"
            yield Fault(where=where, what=what, hint=hint, level=WARNING)


def profile_root(document: Document, target: Target) -> Iterator[Fault]:
    """Find roots that a profile's policy gives no access to, where an installation serves several users."""
    scheme, _, place = (document.root or "").partition("://")
    if target.name != OSS or target.namespace is None or scheme != "minio" or target.version < PROFILES_SINCE:
        return
    allowed = (f"private-artifacts/{target.namespace}/", "shared/")
    if not f"{place.partition('/')[2]}/".startswith(allowed):
        what = f"{document.root} is outside what a profile may use from Kubeflow Pipelines {written(PROFILES_SINCE)} on"
        hint = f"keep it below {' or '.join(allowed)} of that bucket"
        yield Fault(where="pipeline root", what=what, hint=hint, level=WARNING)


def runtime_default(document: Document, _: Target) -> Iterator[Fault]:
    """Find parameters without a default, to be given by hand with every run, scheduled ones too."""
    for name in document.parameters:
        if name not in document.values:
            hint = "TFX's compiler leaves defaults out: give it a defaultValue"
            yield Fault(where=f"parameter {name}", what="has no default", hint=hint)
