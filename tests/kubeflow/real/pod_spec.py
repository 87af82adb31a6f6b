"""The specification of a pod: a container template of a Workflow, and the patch that KFP's driver wrote for it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubeflow.real.workflow import Json, Scope, Template, filled

# Kubernetes merges these lists by a key of their items; of every other list, the patch's replaces the base's.
_MERGED_BY = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}


@dataclass(frozen=True)
class PodSpec:
    """A pod's specification as the kubelet gets it."""

    document: Json = field(repr=False)

    @property
    def containers(self) -> tuple[Json, ...]:
        """Its containers in the order in which they run: those that prepare, then the main one."""
        return (*self.document.get("initContainers", ()), *self.document["containers"])

    def volume(self, name: str) -> Json:
        return next(one for one in self.document["volumes"] if one["name"] == name)

    def security(self, container: Json) -> dict[str, Any]:
        """Returns what a container may do: its own words over the pod's."""
        return {**self.document.get("securityContext", {}), **container.get("securityContext", {})}


def pod_spec(template: Template, scope: Scope, security: Json) -> PodSpec:
    """Returns what Argo makes of a container template: placeholders filled, then `podSpecPatch` merged over it.

    Args:
      security: The security context of the Workflow, for templates that have none of their own.
    """
    paths = {f"outputs.parameters.{name}.path": path for name, path in template.output_paths.items()}
    document = filled(template.document, {**scope, **paths})
    spec = {
        "containers": [{**document["container"], "name": "main"}],
        "initContainers": document.get("initContainers", []),
        "volumes": document.get("volumes", []),
        "securityContext": document.get("securityContext", security),
    }
    patch = document.get("podSpecPatch")
    return PodSpec(merged(spec, json.loads(patch)) if patch else spec)


def merged(base: Json, patch: Json, name: str = "") -> Json:
    """Returns Kubernetes' strategic merge of two values of the field `name`."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return {**base, **{key: merged(base[key], one, key) if key in base else one for key, one in patch.items()}}
    if isinstance(base, list) and isinstance(patch, list) and name in _MERGED_BY:
        key = _MERGED_BY[name]
        over = {one[key]: one for one in patch}
        kept = [merged(one, over.pop(one[key])) if one[key] in over else one for one in base]
        return [*kept, *over.values()]
    return patch


def expanded(word: str, env: Mapping[str, str]) -> str:
    """Returns a word of a command line with $(NAME) replaced; $$(NAME) stays, less a dollar, and so do unknown names."""
    return re.sub(
        r"(\$?)\$\(([\w.-]+)\)",
        lambda found: f"$({found[2]})" if found[1] else env.get(found[2], found[0]),
        word,
    )
