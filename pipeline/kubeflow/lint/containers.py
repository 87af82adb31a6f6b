"""What the containers of a compiled file run: image, resources, arguments, secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from pipeline.kubeflow.compiler import images
from pipeline.kubeflow.compiler.containers import COMMAND
from pipeline.kubeflow.compiler.targets import Target
from pipeline.kubeflow.document import OSS, Document, Task
from pipeline.kubeflow.lint.fault import WARNING, Fault
from pipeline.stages import TRAINERS

MAX_ARGUMENT: Final = 131_072
"""Bytes of one argument with the zero behind it: MAX_ARG_STRLEN of Linux's execve."""

SECRET_NAME: Final = re.compile(r"(password|passwd|passphrase|token|secret|credentials?|(^|[_-])key)$", re.IGNORECASE)
PASSWORD_IN_URL: Final = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
INVOCATION: Final = "{{$}}"


def image(document: Document, _: Target) -> Iterator[Fault]:
    """Find images that are not pinned: a tag can be moved, and what is trained tomorrow has other code."""
    for task in _containers(document):
        if not _image(task):
            yield Fault(where=task.name, what="names no image", hint="compile with --image")
    for name in sorted({_image(task) for task in _containers(document)} - {""}):
        if not images.is_reference(name):
            yield Fault(where=name, what="no reference of an image", hint=images.WANTED)
        if not images.is_reference(name) or images.is_pinned(name):
            continue
        moving = images.tag(name) == images.LATEST
        what = "the tag latest is another image tomorrow" if moving else "not pinned by digest"
        yield Fault(where=name, what=what, hint="name it as IMAGE@sha256:...", level=WARNING)


def trainer_resources(document: Document, _: Target) -> Iterator[Fault]:
    """Find Trainers that ask for nothing and are put anywhere, and images with CUDA that get no device."""
    for task in _containers(document):
        limits = (task.container or {}).get("resources", {})
        has_cuda = images.tag(_image(task)).endswith(images.GPU_SUFFIX)
        if has_cuda and "accelerator" not in limits:
            what = "has the GPU image and asks for no accelerator"
            yield Fault(where=task.name, what=what, hint="give it one, or compile with --gpus 0")
        elif task.name in TRAINERS and not limits:
            what = "trains, and asks for neither accelerator nor cpu and memory"
            yield Fault(where=task.name, what=what, hint="say what it needs in the cluster file", level=WARNING)


def accelerator(document: Document, target: Target) -> Iterator[Fault]:
    """Find devices by another cluster's name: a pod that asks for one waits for ever."""
    for task in _containers(document):
        limits = (task.container or {}).get("resources", {}).get("accelerator", {})
        kind = limits.get("type") or limits.get("resourceType")
        if kind is not None and not target.knows_accelerator(kind):
            what = f"{kind} is none of the accelerators known for {target.title}"
            hint = f"the usual one is {target.accelerator}"
            yield Fault(where=task.name, what=what, hint=hint, level=WARNING)


def clear_text_secret(document: Document, _: Target) -> Iterator[Fault]:
    """Find secrets in clear text: a compiled file is uploaded, shown and kept."""
    for task in _containers(document):
        for name, value in _named_values(task):
            # A path says where a secret lies.
            if SECRET_NAME.search(name) and value and not value.startswith("/"):
                what = f"{name} has its value in clear text"
                yield Fault(where=task.name, what=what, hint="name a Secret under `secrets` in the cluster file")
        for text in _texts(task):
            if PASSWORD_IN_URL.search(text):
                yield Fault(where=task.name, what="a URL with a password in it", hint="have it in a Secret")


def variables(document: Document, _: Target) -> Iterator[Fault]:
    """Find environment variables without a name, with which Kubernetes makes no pod."""
    for task in _containers(document):
        for at, entry in enumerate((task.container or {}).get("env", ())):
            if not entry.get("name"):
                what = f"an environment variable without a name (env[{at}])"
                yield Fault(where=task.name, what=what, hint="name it, or leave it out")


def artifact_types(document: Document, target: Target) -> Iterator[Fault]:
    """Find commands that need the schema of an input artifact, which open-source KFP does not send."""
    for task in _containers(document):
        definitions = task.component.get("inputDefinitions", {}).get("artifacts", {})
        types = {name: definition.get("artifactType", {}) for name, definition in definitions.items()}
        for name, schema in types.items():
            if not any(schema.get(field) for field in ("instanceSchema", "schemaTitle", "schemaUri")):
                yield Fault(where=f"{task.name}.{name}", what="an artifact of no type", hint="compile the file again")
        bare = [name for name, schema in types.items() if schema.get("instanceSchema")]
        if target.name == OSS and bare and not _is_ours(task):
            what = f"{', '.join(bare)} will come without a schema, which this command needs"
            yield Fault(where=task.name, what=what, hint=f"run {' '.join(COMMAND)}")


def openable_root(document: Document, target: Target) -> Iterator[Fault]:
    """Find commands that would open the pipeline root as it is: TensorFlow knows neither minio:// nor s3://."""
    scheme = (document.root or "").partition("://")[0]
    if target.name != OSS or scheme not in ("minio", "s3"):
        return
    for task in _containers(document):
        if not _is_ours(task):
            what = f"cannot open {scheme}://, where its artifacts are"
            yield Fault(where=task.name, what=what, hint=f"run {' '.join(COMMAND)}, or keep artifacts in gs://")


def argument_size(document: Document, _: Target) -> Iterator[Fault]:
    """Find arguments and variables of more than 128 KiB, with which the kernel starts no process."""
    for task in _containers(document):
        inputs = task.spec.get("inputs", {}).get("parameters", {})
        invocation = json.dumps({name: given.get("runtimeValue", {}).get("constant") for name, given in inputs.items()})
        for text in _texts(task):
            size = len(text.replace(INVOCATION, invocation).encode()) + 1
            if size > MAX_ARGUMENT:
                what = f"an argument of {size} bytes"
                yield Fault(where=task.name, what=what, hint=f"at most {MAX_ARGUMENT} can be passed to a process")


def _containers(document: Document) -> list[Task]:
    return [task for task in document.tasks.values() if task.container is not None]


def _is_ours(task: Task) -> bool:
    return tuple((task.container or {}).get("command", ())) == COMMAND


def _image(task: Task) -> str:
    return str((task.container or {}).get("image", ""))


def _arguments(task: Task) -> list[str]:
    return [str(argument) for argument in (task.container or {}).get("args", ())]


def _variables(task: Task) -> dict[str, str]:
    given = (task.container or {}).get("env", ())
    return {str(entry.get("name", "")): str(entry.get("value", "")) for entry in given}


def _texts(task: Task) -> list[str]:
    return [*_arguments(task), *(f"{name}={value}" for name, value in _variables(task).items())]


def _named_values(task: Task) -> Iterator[tuple[str, str]]:
    """Yield variables, and options with their values, `--name value` and `--name=value`."""
    yield from _variables(task).items()
    arguments = _arguments(task)
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            yield name, value if equals else ("" if following.startswith("--") else following)
