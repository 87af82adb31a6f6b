"""A Workflow as KFP's compiler wrote it: its templates, the tasks of their DAGs, and what Argo puts in place of {{...}}."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Json = Any
Scope = Mapping[str, str]
"""What stands between the braces, and what takes its place."""

RUN_ID = "pipeline/runid"
"""The label that KFP's server gives a Workflow; the same id stands in the arguments of every driver."""

# KFP's own {{$}} and {{$.inputs...}} are the launcher's; Argo lets them pass, and so does this.
_PLACEHOLDER = re.compile(r"\{\{([^{}$]+)\}\}")
_STATES = {
    "Succeeded": {"Succeeded"},
    "Failed": {"Failed"},
    "Skipped": {"Skipped"},
    "Omitted": {"Omitted"},
    "Errored": set[str](),  # pods that could not be started, and daemons: there are none here
    "Daemoned": set[str](),
}
_Filled = TypeVar("_Filled")


class NotKnown(Exception):
    """A Workflow asks for something of Argo that is not imitated here."""


@dataclass(frozen=True)
class Task:
    """A task of a DAG."""

    name: str
    template: str
    depends: str
    when: str
    arguments: dict[str, str]

    @property
    def upstream(self) -> frozenset[str]:
        """The tasks that have to be over before `depends` can be said."""
        return frozenset(name for name, _ in _terms(self.depends))

    def is_due(self, phases: Mapping[str, str]) -> bool:
        """Whether `depends` holds, by the phases that its tasks ended in."""
        return _holds(self.depends, lambda name, state: phases[name] in _STATES[state]) if self.depends else True

    def is_wanted(self, scope: Scope) -> bool:
        """Whether `when` holds: a comparison of two words, which is all that KFP's compiler writes."""
        if not self.when:
            return True
        asked = re.fullmatch(r"\s*(\S*)\s*(==|!=)\s*(\S*)\s*", filled(self.when, scope))
        if asked is None:
            raise NotKnown(f"when: {self.when}")
        left, operator, right = asked.groups()
        return (left == right) == (operator == "==")


@dataclass(frozen=True)
class Template:
    """A template: a DAG of tasks, or a container."""

    document: Json = field(repr=False)

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def tasks(self) -> tuple[Task, ...] | None:
        """The tasks of a DAG; None for a container."""
        if "dag" not in self.document:
            return None
        return tuple(_task(one) for one in self.document["dag"]["tasks"])

    @property
    def output_paths(self) -> dict[str, str]:
        """{output parameter: the file that its value is read from}."""
        return {one["name"]: one["valueFrom"]["path"] for one in self._outputs if "path" in one.get("valueFrom", {})}

    @property
    def output_defaults(self) -> dict[str, str]:
        """{output parameter: what it is where the file was not written}."""
        return {
            one["name"]: one["valueFrom"]["default"] for one in self._outputs if "default" in one.get("valueFrom", {})
        }

    @property
    def _outputs(self) -> list[Json]:
        return list((self.document.get("outputs") or {}).get("parameters", []))

    def scope(self, given: Mapping[str, str], around: Scope) -> dict[str, str]:
        """Returns what placeholders of this template mean, called with these arguments."""
        values = dict(around)
        for one in (self.document.get("inputs") or {}).get("parameters", []):
            name = one["name"]
            value = given.get(name, one.get("value", one.get("default")))
            if value is None:
                raise NotKnown(f"{self.name} was called without {name}")
            values[f"inputs.parameters.{name}"] = value
        return values


@dataclass(frozen=True)
class Workflow:
    """A whole Workflow."""

    document: Json = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> "Workflow":
        return cls(json.loads(path.read_text()))

    @property
    def run_id(self) -> str:
        return str(self.document["metadata"]["labels"][RUN_ID])

    @property
    def entrypoint(self) -> Template:
        return self.template(self.document["spec"]["entrypoint"])

    def template(self, name: str) -> Template:
        return next(Template(one) for one in self.document["spec"]["templates"] if one["name"] == name)

    @property
    def security(self) -> Json:
        """The security context of pods whose template has none of its own."""
        return self.document["spec"].get("securityContext", {})

    @property
    def parameters(self) -> dict[str, str]:
        """The Workflow's own parameters: KFP's compiler keeps components and containers there."""
        return {one["name"]: one["value"] for one in self.document["spec"].get("arguments", {}).get("parameters", [])}

    @property
    def scope(self) -> dict[str, str]:
        """What placeholders mean in every template."""
        return {f"workflow.parameters.{name}": value for name, value in self.parameters.items()}

    def as_run(self, run_id: str) -> "Workflow":
        """Returns the Workflow of another run of the same file: to the metadata, one of the same id would be a retry."""
        return Workflow(json.loads(json.dumps(self.document).replace(self.run_id, run_id)))


def filled(value: _Filled, scope: Scope) -> _Filled:
    """Returns a JSON value with its placeholders replaced, once; what is not known stays, as Argo does while it runs."""
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: scope.get(found[1].strip(), found[0]), value)  # type: ignore[return-value]
    if isinstance(value, list):
        return [filled(one, scope) for one in value]  # type: ignore[return-value]
    if isinstance(value, dict):
        return {key: filled(one, scope) for key, one in value.items()}  # type: ignore[return-value]
    return value


def _task(document: Json) -> Task:
    arguments = (document.get("arguments") or {}).get("parameters", [])
    return Task(
        name=document["name"],
        template=document["template"],
        depends=document.get("depends", ""),
        when=document.get("when", ""),
        arguments={one["name"]: one.get("value", one.get("default", "")) for one in arguments},
    )


def _terms(depends: str) -> list[tuple[str, str]]:
    """[(task, state that is asked of it)]; Argo's short form, a name alone, is nothing that KFP's compiler writes."""
    words = [word.strip(" !") for part in depends.split("||") for word in part.split("&&") if word.strip()]
    asked = [tuple(word.split(".")) for word in words]
    if any(len(one) != 2 or one[1] not in _STATES for one in asked):
        raise NotKnown(f"depends: {depends}")
    return [(one[0], one[1]) for one in asked]


def _holds(depends: str, state_of: Callable[[str, str], bool]) -> bool:
    """Whether an expression of && and || holds; parentheses are nothing that KFP's compiler writes."""

    def one(word: str) -> bool:
        [(name, state)] = _terms(word)
        return state_of(name, state) != word.strip().startswith("!")

    return any(all(one(word) for word in part.split("&&")) for part in depends.split("||"))
