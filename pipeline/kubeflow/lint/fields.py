"""Fields of a compiled file that none of KFP's messages has: the server refuses the file, or acts as if they were not there.

Of the PipelineSpec and the platform document the server takes known fields alone, and calls a file with another one "no
pipeline spec"; in the deployment it drops what it does not know (backend/src/apiserver/template and v2/compiler/visitor.go
of kubeflow/pipelines).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from components.suggestions import closest, did_you_mean
from pipeline.kubeflow.compiler.targets import Target
from pipeline.kubeflow.document import OSS, Document
from pipeline.kubeflow.lint.fault import ERROR, WARNING, Fault

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

NEWER: Final = {
    "ComponentSpec": ("taskConfigPassthroughs", "singlePlatformSpecs"),
    "ParameterSpec": ("literals",),
    "CachingOptions": ("cacheKey",),
    "ResourceSpec": ("resourceCpuLimit", "resourceMemoryLimit", "resourceCpuRequest", "resourceMemoryRequest"),
    "AcceleratorConfig": ("resourceType", "resourceCount"),
    "ImporterSpec": ("downloadToWorkspace",),
    "SinglePlatformSpec": ("platform", "config", "pipelineConfig"),
}
"""{message: fields that KFP has by now, and many a server may not, whatever the messages of the installed kfp have}."""

ANY_TYPE: Final = "@type"
"""Names a message in the JSON form of protobuf's `Any`, as which some compilers write the deployment."""


def unknown_fields(document: Document, target: Target) -> Iterator[Fault]:
    """Find misspelt fields: each is as good as none, where the file is not refused for it."""
    from kfp.pipeline_spec import pipeline_spec_pb2 as messages

    strict = ERROR if target.name == OSS else WARNING
    parts = (
        ("", document.spec, messages.PipelineSpec, strict),
        ("deploymentSpec", document.spec.get("deploymentSpec"), messages.PipelineDeploymentConfig, WARNING),
        ("", document.platform, messages.PlatformSpec, strict),
    )
    for path, values, message, level in parts:
        for where, field, found_in in unknown(values, message.DESCRIPTOR, path):
            yield _fault(where, field, found_in, level)


def _fault(where: str, unknown: str, message: Descriptor, level: str) -> Fault:
    if unknown in NEWER.get(message.name, ()):
        what = f"{unknown} is newer than many a server"
        return Fault(where=where, what=what, hint="make sure that yours knows it", level=WARNING)
    meant = did_you_mean(closest(unknown, message.fields_by_camelcase_name))
    hint = meant or "leave it out, or make sure that your server knows it"
    return Fault(where=where, what=f"{unknown} is no field of a {message.name}", hint=hint, level=level)


def unknown(values: Any, message: Descriptor, path: str) -> Iterator[tuple[str, str, Descriptor]]:
    """Yield path, name and message of each unknown field; what has another form than a message is left alone."""
    fields = _fields_of(message)
    for name, value in _values_of(values, message):
        where = f"{path}.{name}".lstrip(".")
        if name not in fields or name in NEWER.get(message.name, ()):
            if name != ANY_TYPE:
                yield where, str(name), message
        elif fields[name].message_type is not None:
            for inner, one, place in _messages_in(value, fields[name].message_type, where):
                yield from unknown(one, inner, place)


def parse_problem(values: Any, message: Message, *, ignore_unknown: bool = True) -> str | None:
    """Return why values are not the JSON form of a message, in protobuf's words; None if they are."""
    from google.protobuf import json_format

    try:
        json_format.ParseDict(dict(values), message, ignore_unknown_fields=ignore_unknown)
    except (json_format.ParseError, TypeError, ValueError, AttributeError) as err:
        return " ".join(str(err).split())
    # Newer releases of protobuf take an enum's unknown value for an unknown field, and KFP's server takes neither.
    descriptor: Any = message.DESCRIPTOR
    return next(_unknown_enum_values(values, descriptor), None)


def _unknown_enum_values(values: Any, message: Descriptor) -> Iterator[str]:
    fields = _fields_of(message)
    for name, value in _values_of(values, message):
        field = fields.get(name)
        if field is None:
            continue
        if field.message_type is not None:
            for inner, one, _ in _messages_in(value, field.message_type, name):
                yield from _unknown_enum_values(one, inner)
        elif field.enum_type is not None:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and one not in field.enum_type.values_by_name:
                    kind = field.enum_type.full_name
                    yield f"Failed to parse {name} field: Invalid enum value {one} for enum type {kind}"


def _values_of(values: Any, message: Descriptor) -> Iterable[tuple[Any, Any]]:
    """Return names and values of what has the form of a message; google.protobuf's own are free JSON."""
    free = message.file.package == "google.protobuf" or not isinstance(values, Mapping)
    return () if free else values.items()


def _fields_of(message: Descriptor) -> Mapping[str, Any]:
    """Return the fields by either of the names that the JSON form may give them."""
    return {**message.fields_by_name, **message.fields_by_camelcase_name}


def _messages_in(value: Any, message: Descriptor, path: str) -> Iterator[tuple[Descriptor, Any, str]]:
    """Yield the messages that a field's value holds, and their paths: of a map its values, of a list all, or the one."""
    if message.GetOptions().map_entry:
        inner = message.fields_by_name["value"].message_type
        if inner is not None and isinstance(value, Mapping):
            yield from ((inner, one, f"{path}.{key}") for key, one in value.items())
    elif isinstance(value, list):
        yield from ((message, one, f"{path}[{place}]") for place, one in enumerate(value))
    else:
        yield message, value, path
