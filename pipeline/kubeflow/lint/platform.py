"""What a platform document asks of Kubernetes: for executors that are there, and in words that the server can read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from components.suggestions import closest, did_you_mean
from components.wording import as_written
from pipeline.kubeflow.compiler.targets import Target
from pipeline.kubeflow.document import KUBERNETES, PLATFORMS, Document, Json
from pipeline.kubeflow.kfp_version import NEWEST, written
from pipeline.kubeflow.lint import fields, kubernetes_messages
from pipeline.kubeflow.lint.fault import Fault

PULL_POLICIES: Final = ("Always", "Never", "IfNotPresent")
OPERATORS: Final = ("", "Equal", "Exists")
EFFECTS: Final = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")


def platform_executors(document: Document, _: Target) -> Iterator[Fault]:
    """Find requests for executors that are not there: nobody gets the volume or the secret, and nobody is told."""
    executors = document.spec.get("deploymentSpec", {}).get("executors", {})
    for label in configs(document):
        if label not in executors:
            yield Fault(where=label, what="an executor that is not there", hint=_hint(label, executors))


def platform_fields(document: Document, target: Target) -> Iterator[Fault]:
    """Find fields that a server of the target's version does not know, and refuses the file for."""
    descriptor = kubernetes_messages.descriptor(_newest(target))
    for label, config in configs(document).items():
        for where, field, message in fields.unknown(config, descriptor, ""):
            place = where.removesuffix(field).rstrip(".")
            what = f"{field} is no field of {place or 'KFP'}" + ("" if place else "'s")
            yield Fault(where=label, what=what, hint=_hint(field, message.fields_by_camelcase_name))
        for place, field, since in _too_new(config, target):
            what = f"{place} is unknown to Kubeflow Pipelines {written(target.version)}"
            hint = f"{field} came with {written(since)}: leave it out, or name the server's version with --kfp-version"
            yield Fault(where=label, what=what, hint=hint)


def platform_values(document: Document, target: Target) -> Iterator[Fault]:
    """Find values that are not of a field's type, and words that Kubernetes does not have."""
    message = kubernetes_messages.executor_config(_newest(target))
    for label, config in configs(document).items():
        is_misspelt = any(True for _ in fields.unknown(config, kubernetes_messages.descriptor(_newest(target)), ""))
        problem = fields.parse_problem(config, message(), ignore_unknown=is_misspelt)
        if problem is not None:
            hint = "KFP refuses it, or drops the whole document: compile the file again"
            yield Fault(where=label, what=f"no message of KFP's: {problem}", hint=hint)
        else:
            yield from _words(label, config)


def configs(document: Document) -> dict[str, Json]:
    """Return {executor: what it asks of Kubernetes}, with the fields' names as JSON has them."""
    platform = (document.platform or {}).get(PLATFORMS, {}).get(KUBERNETES, {}).get("deploymentSpec", {})
    executors = dict(platform.get("executors", {}))
    return {label: {_camel(name): value for name, value in config.items()} for label, config in executors.items()}


def entries(value: Any) -> list[Json]:
    """Return the messages of a field, each with its fields' names as JSON has them."""
    given = value if isinstance(value, list) else [value]
    return [{_camel(name): inner for name, inner in one.items()} for one in given if isinstance(one, Mapping)]


def _words(label: str, config: Json) -> Iterator[Fault]:
    words: list[tuple[str, Any, tuple[str, ...]]] = [("imagePullPolicy", config.get("imagePullPolicy"), PULL_POLICIES)]
    for toleration in entries(config.get("tolerations", [])):
        words.append(("tolerations.operator", toleration.get("operator"), OPERATORS))
        words.append(("tolerations.effect", toleration.get("effect"), EFFECTS))
    for field, got, known in words:
        if got is not None and got not in known:
            hint = f"one of {', '.join(filter(None, known))}"
            yield Fault(where=label, what=f"{field} is {as_written(got)}, with which no pod is made", hint=hint)
    for field, key in (("secretAsEnv", "secretKey"), ("configMapAsEnv", "configMapKey")):
        for variable in (one for entry in entries(config.get(field, [])) for one in entries(entry.get("keyToEnv", []))):
            if not variable.get(key) or not variable.get("envVar"):
                what = f"{field} with a variable that lacks {key} or envVar"
                yield Fault(where=label, what=what, hint="name both, or leave the variable out")


def _too_new(config: Json, target: Target) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield path, name and first release of each field that is newer than the target's server."""
    descriptor = kubernetes_messages.descriptor(target.version)
    newer = {(name, _camel(field)): since for (name, field), since in kubernetes_messages.SINCE.items()}
    for where, field, message in fields.unknown(config, descriptor, ""):
        if (since := newer.get((message.name, _camel(field)))) is not None:
            yield where, field, since


def _newest(target: Target) -> tuple[int, ...]:
    return max(target.version, NEWEST, *kubernetes_messages.SINCE.values())


def _camel(name: str) -> str:
    """Return a field's name as JSON has it; protobuf's readers take `mount_path` as well."""
    first, *more = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in more)


def _hint(name: str, known: Collection[str]) -> str:
    return did_you_mean(closest(name, known)) or f"one of {', '.join(known)}"
