"""The policy of an audit: which rules it applies, and whether a broken one fails it, is a warning, or is ignored.

    version: 1
    rules:
      clean_tree: warn
      leaks: fail

A rule that the file does not name keeps its default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from components.errors import BadInput
from components.suggestions import closest, did_you_mean
from components.untrusted import read_yaml
from components.wording import as_written

FAIL, WARN, OFF = "fail", "warn", "off"
LEVELS: Final = (FAIL, WARN, OFF)
VERSION: Final = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """A question that a policy can ask.

    Attributes:
      text: what has to hold.
      level: what happens by default when it does not.
    """

    text: str
    level: str = FAIL


RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "blessed": Rule(text="the Evaluator blessed this very model, and no threshold was missed"),
        "checked": Rule(text="the model answered in an interpreter of its own, and was blessed for it"),
        "baseline": Rule(text='it was compared with the version served before it, or with "none" if there was none'),
        "schema": Rule(text="the schema gate passed, and both Trainers read the schema that it let through"),
        "leaks": Rule(text="no image of the test split is in the training data of a Trainer"),
        "clean_tree": Rule(text="every execution ran code that was committed"),
        "same_lock": Rule(text="every execution before the push ran with the same locked packages"),
        "ops": Rule(text="the served graph holds ordinary ops alone"),
        "anchored": Rule(text="a head kept elsewhere or a signature vouches for it", level=OFF),
        "approved": Rule(text="somebody approved it, signed by a key that was in force then", level=OFF),
    }
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """The level of every rule.

    Attributes:
      levels: {rule: `fail`, `warn` or `off`}, all of `RULES` in their order.
    """

    levels: Mapping[str, str]

    def failing(self, rule: str) -> Policy:
        """Return the policy with one rule that fails the audit where it is broken."""
        return Policy(levels={**self.levels, rule: FAIL})

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as a policy file holds it."""
        return {"version": VERSION, "rules": dict(self.levels)}

    @staticmethod
    def from_dict(fields: Mapping[str, Any], where: object = "policy") -> Policy:
        """Restore what `to_dict` returned; rules that are not named keep their default.

        Raises:
          BadInput: on an unknown rule, key or level, naming those there are.
        """
        if unknown := sorted(map(str, fields.keys() - {"version", "rules"})):
            raise BadInput("unknown key", where=where, wanted="version, rules", got=", ".join(unknown))
        if fields.get("version") != VERSION:
            raise BadInput(
                "of another version", where=where, wanted=f"version: {VERSION}", got=as_written(fields.get("version"))
            )
        rules = fields.get("rules") or {}
        if not isinstance(rules, Mapping):
            raise BadInput("not a mapping", where=f"{where}: rules", wanted="rule: level", got=as_written(rules))
        if unknown := sorted(map(str, rules.keys() - RULES.keys())):
            raise BadInput("unknown rule", where=where, wanted=f"one of {', '.join(RULES)}", got=", ".join(unknown))
        given = {name: _level(level, f"{where}: {name}") for name, level in rules.items()}
        return Policy(levels={name: given.get(name, rule.level) for name, rule in RULES.items()})


def default() -> Policy:
    """Return the policy that holds without a file."""
    return Policy(levels={name: rule.level for name, rule in RULES.items()})


def read(path: Path) -> Policy:
    """Return the policy in a YAML file.

    Raises:
      BadInput: if it is no regular file of a sensible size, no YAML mapping, or `Policy.from_dict` refuses it.
    """
    fields = read_yaml(path)
    if not isinstance(fields, dict):
        raise BadInput("not a mapping", where=path, wanted="version and rules", got=as_written(fields))
    return Policy.from_dict(fields, path)


def _level(level: object, where: str) -> str:
    if level not in LEVELS:
        hint = did_you_mean(closest(level, LEVELS)) if isinstance(level, str) else None
        raise BadInput("unknown level", where=where, wanted=", ".join(LEVELS), got=as_written(level), hint=hint)
    return str(level)
