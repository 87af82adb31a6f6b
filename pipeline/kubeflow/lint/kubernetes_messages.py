"""Messages of a platform document: KFP's KubernetesExecutorConfig and what is in it, for each version of the server.

kfp comes without these messages, and of the package that has them, kfp-kubernetes, no release with tolerations goes with
TFX's protobuf on Python 3.10. So they stand here, as in kubernetes_platform/proto/kubernetes_executor_config.proto of
kubeflow/pipelines; a test holds them to what the releases of kfp-kubernetes and the server's source have.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from pipeline.kubeflow.kfp_version import KfpVersion, written

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
    from google.protobuf.message import Message

PARAMETER: Final = "InputParameterSpec"
OUTPUT: Final = "TaskOutputParameterSpec"
_OF_PIPELINE_SPEC: Final = {
    PARAMETER: ".ml_pipelines.TaskInputsSpec.InputParameterSpec",
    OUTPUT: ".ml_pipelines.TaskInputsSpec.InputParameterSpec.TaskOutputParameterSpec",
}
"""Messages of kfp's own pipeline_spec.proto."""

MAP: Final = "map<string, string>"
CONFIG: Final = "KubernetesExecutorConfig"
MESSAGES: Final[Mapping[str, Mapping[str, str]]] = {
    CONFIG: {
        "secret_as_volume": "SecretAsVolume*",
        "secret_as_env": "SecretAsEnv*",
        "pvc_mount": "PvcMount*",
        "node_selector": "NodeSelector",
        "pod_metadata": "PodMetadata",
        "image_pull_secret": "ImagePullSecret*",
        "image_pull_policy": "string",
        "config_map_as_volume": "ConfigMapAsVolume*",
        "config_map_as_env": "ConfigMapAsEnv*",
        "active_deadline_seconds": "int64",
        "field_path_as_env": "FieldPathAsEnv*",
        "tolerations": "Toleration*",
        "generic_ephemeral_volume": "GenericEphemeralVolume*",
        "node_affinity": "NodeAffinityTerm*",
        "pod_affinity": "PodAffinityTerm*",
        "enabled_shared_memory": "EnabledSharedMemory",
        "empty_dir_mounts": "EmptyDirMount*",
        "security_context": "SecurityContext",
        "init_containers": "InitContainer*",
    },
    "SecretAsVolume": {
        "secret_name": "string",
        "mount_path": "string",
        "optional": "bool",
        "secret_name_parameter": PARAMETER,
    },
    "SecretAsEnv": {
        "secret_name": "string",
        "key_to_env": "SecretKeyToEnvMap*",
        "optional": "bool",
        "secret_name_parameter": PARAMETER,
    },
    "SecretKeyToEnvMap": {"secret_key": "string", "env_var": "string"},
    "PvcMount": {
        "task_output_parameter": OUTPUT,
        "constant": "string",
        "component_input_parameter": "string",
        "mount_path": "string",
        "pvc_name_parameter": PARAMETER,
        "sub_path": "string",
    },
    "NodeSelector": {"labels": MAP, "node_selector_json": PARAMETER},
    "PodMetadata": {"labels": MAP, "annotations": MAP},
    "ConfigMapAsVolume": {
        "config_map_name": "string",
        "mount_path": "string",
        "optional": "bool",
        "config_map_name_parameter": PARAMETER,
    },
    "ConfigMapAsEnv": {
        "config_map_name": "string",
        "key_to_env": "ConfigMapKeyToEnvMap*",
        "config_map_name_parameter": PARAMETER,
        "optional": "bool",
    },
    "ConfigMapKeyToEnvMap": {"config_map_key": "string", "env_var": "string"},
    "GenericEphemeralVolume": {
        "volume_name": "string",
        "mount_path": "string",
        "access_modes": "string*",
        "size": "string",
        "default_storage_class": "bool",
        "storage_class_name": "string",
        "metadata": "PodMetadata",
    },
    "ImagePullSecret": {"secret_name": "string", "secret_name_parameter": PARAMETER},
    "FieldPathAsEnv": {"name": "string", "field_path": "string"},
    "Toleration": {
        "key": "string",
        "operator": "string",
        "value": "string",
        "effect": "string",
        "toleration_seconds": "int64",
        "toleration_json": PARAMETER,
    },
    "SelectorRequirement": {"key": "string", "operator": "string", "values": "string*"},
    "NodeAffinityTerm": {
        "match_expressions": "SelectorRequirement*",
        "match_fields": "SelectorRequirement*",
        "weight": "int32",
        "node_affinity_json": PARAMETER,
    },
    "PodAffinityTerm": {
        "match_pod_expressions": "SelectorRequirement*",
        "match_pod_labels": MAP,
        "topology_key": "string",
        "namespaces": "string*",
        "match_namespace_expressions": "SelectorRequirement*",
        "match_namespace_labels": MAP,
        "weight": "int32",
        "anti": "bool",
    },
    "EnabledSharedMemory": {"volume_name": "string", "size": "string"},
    "EmptyDirMount": {"volume_name": "string", "mount_path": "string", "medium": "string", "size_limit": "string"},
    "SecurityContext": {"run_as_user": "int64", "run_as_group": "int64", "run_as_non_root": "bool"},
    "InitContainer": {
        "name": "string",
        "image": "string",
        "command": "string*",
        "args": "string*",
        "env": "EnvVar*",
        "volume_mounts": "VolumeMount*",
        "restart_policy": "string",
        "resources": "ResourceRequirements",
    },
    "EnvVar": {"name": "string", "value": "string"},
    "VolumeMount": {"volume_name": "string", "mount_path": "string"},
    "ResourceRequirements": {"requests": MAP, "limits": MAP},
}
"""{message: {field: type}}, of the newest server; `*` behind a type is `repeated`."""

SINCE: Final[Mapping[tuple[str, str], KfpVersion]] = {
    ("NodeAffinityTerm", "node_affinity_json"): (2, 14, 0),
    ("SecretAsEnv", "optional"): (2, 15, 0),
    ("ConfigMapAsEnv", "optional"): (2, 15, 0),
    (CONFIG, "security_context"): (2, 16, 0),
    ("PvcMount", "sub_path"): (2, 16, 0),
    (CONFIG, "init_containers"): (3, 0, 0),
}
"""{(message, field): the first release whose server knows it}; any other field is as old as 2.5.0."""


def fields_at(version: KfpVersion) -> dict[str, dict[str, str]]:
    """Return {message: {field: type}} as a server of a version has them."""
    return {
        message: {name: kind for name, kind in fields.items() if SINCE.get((message, name), ()) <= version}
        for message, fields in MESSAGES.items()
    }


@functools.cache
def executor_config(version: KfpVersion) -> type[Message]:
    """Return the class of KubernetesExecutorConfig as a server of a version knows it."""
    from google.protobuf import descriptor_pool
    from google.protobuf.internal import builder

    descriptor = descriptor_pool.Default().AddSerializedFile(_file(version).SerializeToString())
    # By the way of all generated modules, which alone is the same in TFX's protobuf of either lane.
    classes: dict[str, Any] = {}
    builder.BuildMessageAndEnumDescriptors(descriptor, classes)
    builder.BuildTopDescriptorsAndMessages(descriptor, descriptor.name, classes)
    found: type[Message] = classes[CONFIG]
    return found


def descriptor(version: KfpVersion) -> Descriptor:
    """Return the descriptor of KubernetesExecutorConfig as a server of a version knows it."""
    found: Any = executor_config(version).DESCRIPTOR
    return cast("Descriptor", found)


def _file(version: KfpVersion) -> FileDescriptorProto:
    from google.protobuf import descriptor_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    name = f"kubernetes_executor_config_{written(version).replace('.', '_')}"
    # Not the package of kfp-kubernetes, which may be imported as well.
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package=name, syntax="proto3")
    file.dependency.append(pipeline_spec_pb2.DESCRIPTOR.name)
    for message, fields in fields_at(version).items():
        described = file.message_type.add(name=message)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            _add_field(described, field, number, kind, package=name)
    return file


def _add_field(message: DescriptorProto, name: str, number: int, kind: str, *, package: str) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    scalars = {
        "string": Field.TYPE_STRING,
        "bool": Field.TYPE_BOOL,
        "int32": Field.TYPE_INT32,
        "int64": Field.TYPE_INT64,
    }
    if kind == MAP:
        entry = message.nested_type.add(name="".join(word.capitalize() for word in name.split("_")) + "Entry")
        entry.options.map_entry = True
        for place, part in enumerate(("key", "value"), start=1):
            entry.field.add(name=part, number=place, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
        kind = f"{message.name}.{entry.name}*"
    field = message.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL)
    if kind.endswith("*"):
        field.label, kind = Field.LABEL_REPEATED, kind[:-1]
    if kind in scalars:
        field.type = scalars[kind]
    else:
        field.type, field.type_name = Field.TYPE_MESSAGE, _OF_PIPELINE_SPEC.get(kind, f".{package}.{kind}")
