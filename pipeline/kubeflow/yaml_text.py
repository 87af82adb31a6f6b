"""YAML that means the same to readers of 1.1, such as PyYAML, and of 1.2, such as the servers' Go.

PyYAML quotes what 1.1 takes for a number. 1.2 has more of them: to Go `1e5`, `08` and `0o7` are numbers, and a variable
or an argument that reads so would no longer be a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

# Of yaml.v3's resolve.go: digits may have _ between them, prefixes may be capital, an exponent needs no sign; and what
# looks like a date is one even with one digit for the month. `y` and `n` are booleans to older readers.
LOOKS_OTHERWISE: Final = re.compile(
    r"[-+]?0[xX][0-9a-fA-F_]+"
    r"|[-+]?0[oO]?[0-9_]+"
    r"|[-+]?0[bB][01_]+"
    r"|[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9_]+)?"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"
    r"|[yYnN]"
)


class _Quoting(yaml.SafeDumper):
    """Quotes texts that some reader takes for something else."""


# A text is written bare only if no resolver has another tag for it; which one that is does not matter here.
_Quoting.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"(?:{LOOKS_OTHERWISE.pattern})$"), list("-+.0123456789yYnN")
)


def to_yaml(documents: Iterable[Mapping[str, Any]]) -> str:
    """Return the documents, one after another, with sorted keys."""
    text: str = yaml.dump_all(documents, Dumper=_Quoting, sort_keys=True, width=100)
    return text
