"""What the machine's list of processes shows of this one: arguments, without the passwords in them.

Every user of a machine reads the arguments of every process on it (`ps`, /proc/*/cmdline). As clients of databases do, we
overwrite ours once they are read. Imported before anything else, so it imports next to nothing.
"""

from __future__ import annotations

import re
from typing import Final

_PASSWORD: Final = re.compile(rb"//[^/\s@:\0]*:([^\s\0]+)@")
"""In an address, as `components.errors` has it for messages."""

_ARG_START: Final = 45
"""Field of /proc/self/stat, counted from behind the process's name: where in memory the arguments begin."""


def hide_passwords() -> None:
    """Overwrite the passwords of addresses; where the kernel does not let us, they stay."""
    try:
        with open("/proc/self/cmdline", "rb") as shown:
            arguments = shown.read()
        found = list(_PASSWORD.finditer(arguments))
        if not found:
            return
        with open("/proc/self/stat", "rb") as told:
            start = int(told.read().rpartition(b")")[2].split()[_ARG_START])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            for one in found:
                memory.seek(start + one.start(1))
                memory.write(b"*" * len(one[1]))
    except (OSError, ValueError, IndexError):
        return
