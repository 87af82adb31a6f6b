"""Machines that share nothing but files: network namespaces of this one, joined by a bridge. Needs root."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator

BRIDGE = "mtx-bridge"
NETWORK = "10.213.77"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """One of them: the name of its namespace, and its address."""

    name: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What stands before a command that is to run there."""
        return ("ip", "netns", "exec", self.name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """Machines for workers, and one for what manages them."""

    manager: Machine
    machines: tuple[Machine, ...]


def missing() -> str | None:
    """Return a sentence where there can be none."""
    return None if os.geteuid() == 0 and shutil.which("ip") else "network namespaces need root, and ip"


@contextlib.contextmanager
def network(count: int) -> Iterator[Network]:
    """Give so many machines, and one that manages them; what runs on them has to be ended within."""
    *named, manager = (Machine(name=f"mtx-{n}", address=f"{NETWORK}.{n + 2}") for n in range(count + 1))
    made = Network(manager=manager, machines=tuple(named))
    with contextlib.ExitStack() as undone:
        ip("link", "add", BRIDGE, "type", "bridge")
        undone.callback(ip, "link", "del", BRIDGE)
        ip("address", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for machine in (*named, manager):
            ip("netns", "add", machine.name)
            undone.callback(ip, "netns", "del", machine.name)
            join(machine)
        yield made


def join(machine: Machine) -> None:
    """Give a machine an address, and connect it with the bridge."""
    inner = f"{machine.name}-eth"
    ip("link", "add", machine.name, "type", "veth", "peer", "name", inner)
    ip("link", "set", machine.name, "master", BRIDGE, "up")
    ip("link", "set", inner, "netns", machine.name)
    for words in (("address", "add", f"{machine.address}/24", "dev", inner), ("link", "set", inner, "up")):
        ip("-n", machine.name, *words)
    ip("-n", machine.name, "link", "set", "lo", "up")


def ip(*words: str) -> None:
    """Run ip."""
    subprocess.run(("ip", *words), check=True, capture_output=True, text=True)
