"""Values in a compiled file: of the type that is declared for them; and conditions that are made of such values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from components.errors import BadInput
from pipeline.kubeflow import argo_text
from pipeline.kubeflow.compiler.targets import Target
from pipeline.kubeflow.document import OSS, Document, Task
from pipeline.kubeflow.lint.fault import ERROR, WARNING, Fault
from pipeline.kubeflow.simulate import condition
from pipeline.kubeflow.simulate.values import KINDS, STRING, as_value

LITERAL: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
PARAMETER: Final = re.compile(r"parameter_values\s*\[\s*(?:'([^']*)'|\"([^\"]*)\")\s*\]")
CLOSING: Final = {")": "(", "]": "[", "}": "{"}


def parameter_type(document: Document, _: Target) -> Iterator[Fault]:
    """Find values of another type than is declared: KFP compares them when the run or the task starts."""
    for name, definition in document.parameters.items():
        if name in document.values and not _is_of(definition, document.values[name]):
            yield _another_type(f"parameter {name}", definition, document.values[name])
    for task in document.tasks.values():
        given = task.spec.get("inputs", {}).get("parameters", {})
        for name, definition in task.component.get("inputDefinitions", {}).get("parameters", {}).items():
            values = (definition.get("defaultValue"), given.get(name, {}).get("runtimeValue", {}).get("constant"))
            for value in values:
                if value is not None and not _is_of(definition, value):
                    # The driver turns anything into a text where one is wanted.
                    level = WARNING if definition.get("parameterType") == STRING else ERROR
                    yield _another_type(f"{task.name}.{name}", definition, value, level)


def placeholders(document: Document, target: Target) -> Iterator[Fault]:
    """Find texts in double braces: Argo resolves them, and refuses the run where it cannot."""
    if target.name != OSS:
        return
    for path, placeholder in argo_text.in_document(document):
        yield Fault(where=path, what=f"{placeholder} would be resolved by Argo", hint=argo_text.WANTED)


def trigger(document: Document, target: Target) -> Iterator[Fault]:
    """Find conditions that cannot be evaluated: they fail the task after all that came before it has been done."""
    for task in document.tasks.values():
        if task.condition is None:
            continue
        if task.importer is not None and target.name == OSS:
            what = "a condition on an importer, which Kubeflow Pipelines does not support"
            yield Fault(where=task.name, what=what, hint="put it on the task that reads from it")
        yield from _condition(task, task.condition)


def _condition(task: Task, text: str) -> Iterator[Fault]:
    if not _is_balanced(text):
        yield Fault(where=task.name, what=f"the condition {text} does not parse", hint="a quote or a bracket is open")
        return
    for name in (single or double for single, double in PARAMETER.findall(text)):
        if name not in task.spec.get("inputs", {}).get("parameters", {}):
            what = f"the condition reads {name}, which the task is not given"
            yield Fault(where=task.name, what=what, hint="name one of its parameters")
    try:
        condition.parse(text)
    except BadInput as err:
        yield Fault(where=task.name, what=f"{err.what}: {text}", hint=f"wanted {err.wanted}", level=WARNING)


def _is_balanced(text: str) -> bool:
    """Whether every quote and every bracket has its other half."""
    rest, opened = LITERAL.sub("", text), list[str]()
    for sign in rest:
        if sign in CLOSING.values():
            opened.append(sign)
        elif sign in CLOSING and (not opened or opened.pop() != CLOSING[sign]):
            return False
    return not opened and "'" not in rest and '"' not in rest


def _is_of(definition: Any, value: Any) -> bool:
    kind = KINDS.get(definition.get("parameterType", ""))
    return kind is None or kind(as_value(value))


def _another_type(where: str, definition: Any, value: Any, level: str = ERROR) -> Fault:
    what = f"{value!r} for a parameter of type {definition['parameterType']}"
    return Fault(where=where, what=what, hint="give it a value of that type", level=level)
