"""Refusal of keys that were rotated or revoked, before anything is signed with them.

Which keys have ended is in ledgers. A key that no ledger at hand knows may sign: a list of keys is nobody's duty.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components.errors import Refused
from pipeline.provenance import default_root
from pipeline.provenance.approvals import ApproverKey, read_approvals
from pipeline.provenance.keys import PublicKey
from pipeline.provenance.ledger import Chain, read_ledger
from pipeline.root.paths import RunPaths


def require_not_ended(ledger: Chain, key: PublicKey, where: Path | None = None) -> ApproverKey | None:
    """Return what a ledger knows of a key that is to sign; None if it does not know it.

    Args:
      ledger: with the list of keys.
      key: the public half.
      where: the ledger's root, for the message where nobody named it.

    Raises:
      Refused: if it was rotated or revoked, be it from a moment on that is still to come.
    """
    known = read_approvals(ledger).key(key.keyid)
    if known is not None and known.end is not None:
        of = "" if where is None else f" of {where}"
        hint = "`mnist-tfx keys list` says which are in force"
        raise Refused("not in force", where=f"key {key.keyid}", got=f"{known.end}, by the ledger{of}", hint=hint)
    return known


def require_not_ended_here(key: PublicKey, root: Path | None = None, *, folder: Path | None = None) -> None:
    """Refuse a key that has ended by the ledgers at hand, for what is signed outside of a root.

    Args:
      key: the public half.
      root: that was named; its ledger is asked alone.
      folder: of a version; if it lies in a root, that one is asked alone. Else all roots below ./runs are.

    Raises:
      Refused: if the key was rotated or revoked.
      EnvironmentProblem: if a ledger cannot be read.
    """
    for place in _roots(root, folder):
        require_not_ended(read_ledger(RunPaths(place).ledger), key, place)


def _roots(root: Path | None, folder: Path | None) -> Iterable[Path]:
    if root is not None:
        return (root,)
    if folder is not None:
        outer = RunPaths(folder.absolute().parent.parent)
        if folder.absolute().parent in (outer.serving, outer.staged) and outer.ledger.exists():
            return (outer.root,)
    return default_root.roots_below()
