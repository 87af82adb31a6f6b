"""The propagation of content downstream, from where it was recognised to its part in each model that it reached.

The walk has no limit and does not recurse. What it carries along says which way it came: rows that were learned from
are told apart from rows that were measured on, and what came through an autoencoder from what went in directly.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from components.features import TEST, TRAIN, VALIDATION
from pipeline.lineage.index import LineageIndex
from pipeline.lineage.steps import ExecutionSummary, InputRef
from pipeline.stages import AUTOENCODER, CLASSIFIER, EVALUATOR, STAGES

if TYPE_CHECKING:
    from pipeline.lineage.rows.index import Overlap

EXAMINERS: Final = frozenset(stage.id for stage in STAGES.values() if stage.examines)

ROLES: Final = ("autoencoder", "classifier", "evaluation", "itself", "publication")

# Which way something came, as bits: they only ever grow, so that a step is gone through a few times at most.
REACHED, USED, TRAINED_ON, TESTED_ON, IN_AUTOENCODER, IN_CLASSIFIER = (1 << bit for bit in range(6))
_INSIDE: Final = IN_AUTOENCODER | IN_CLASSIFIER

PAYLOAD, ROWS, PIXELS, DIGEST = "payload", "rows", "pixels", "digest"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Match:
    """How something was recognised in one execution.

    Attributes:
      step: the execution that read, made or mentions it.
      match: `payload`, `rows`, `pixels` or `digest`.
      what: what it is there, in words.
      splits: whose rows it is or holds some of; None if it is no rows of data.
      overlap: shared rows, where rows were compared.
      artifact: digest of the artifact that it is or lies in, if the step made it.
    """

    step: ExecutionSummary
    match: str
    what: str
    splits: frozenset[str] | None = None
    overlap: Overlap | None = None
    artifact: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reachability:
    """What a walk came to.

    Attributes:
      visited: hashes of the records reached, the ones it started from among them.
      roles: {(Classifier's record, model digest): part that the content had in that model, of `ROLES`}.
    """

    visited: frozenset[str]
    roles: Mapping[tuple[str, str], frozenset[str]]


def propagate(lineage: LineageIndex, matches: Iterable[Match]) -> Reachability:
    """Walk downstream from everywhere that something was recognised."""
    state: dict[str, int] = {}
    waiting: deque[tuple[str, int, str | None]] = deque()
    origins = set()
    for one in matches:
        record_hash = one.step.record
        if one.artifact is None:
            state[record_hash] = state.get(record_hash, 0) | _initial_bits(one)
            waiting.append((record_hash, _output_bits(one.step.node, state[record_hash]), None))
        else:
            origins.add((record_hash, one.artifact))
            state.setdefault(record_hash, REACHED)
            waiting.append((record_hash, _output_bits(one.step.node, REACHED | USED), one.artifact))
    while waiting:
        record, carried, artifact = waiting.popleft()
        for reader, read in lineage.steps.readers_of(record):
            if artifact is None or read.sha256 == artifact:
                known_bits = state.get(reader.record, 0)
                bits = known_bits | _input_bits(reader.node, read.channel, carried)
                if bits != known_bits:
                    state[reader.record] = bits
                    waiting.append((reader.record, _output_bits(reader.node, bits), None))
    return Reachability(visited=frozenset(state), roles=_roles(lineage, state, origins))


def _initial_bits(one: Match) -> int:
    """Return the bits with which a walk starts from a step that used or read something."""
    if one.splits is None:
        return REACHED | USED
    trained = TRAINED_ON if one.splits & {TRAIN, VALIDATION} else 0
    return REACHED | trained | (TESTED_ON if TEST in one.splits else 0)


def _output_bits(node: str, bits: int) -> int:
    """Return the bits of what a node makes, when it was reached with `bits`."""
    used = bits & (USED | TRAINED_ON | _INSIDE)
    if node == AUTOENCODER:
        return REACHED | (IN_AUTOENCODER if used else 0)
    if node == CLASSIFIER:
        return REACHED | (IN_CLASSIFIER if used else 0)
    return bits


def _input_bits(node: str, channel: str, bits: int) -> int:
    """Return the bits that arrive at a node over one of its channels."""
    if channel == "model" and node in EXAMINERS:
        return REACHED
    kept = bits & (REACHED | USED | _INSIDE)
    if channel == "examples":
        # Rows count where they are learned from or measured on, not where a gate looked at them and let them pass.
        kept |= bits & (TRAINED_ON if node in (AUTOENCODER, CLASSIFIER) else TESTED_ON if node == EVALUATOR else 0)
    return kept


def _roles(
    lineage: LineageIndex, state: Mapping[str, int], origins: set[tuple[str, str]]
) -> dict[tuple[str, str], frozenset[str]]:
    roles: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record, bits in state.items():
        step = lineage.steps[record]
        if step.node == CLASSIFIER:
            for output in step.makes:
                own = {"itself"} if (record, output.sha256) in origins else _training_roles(bits)
                if output.type == "Model" and own:
                    roles[record, output.sha256] |= own
        elif step.node in EXAMINERS and bits & (USED | TESTED_ON | _INSIDE):
            role = "evaluation" if step.node == EVALUATOR else "publication"
            for read in _examined_models(lineage, step):
                roles[str(read.maker), read.sha256].add(role)
    # Whatever has a part in a model has one in its publication.
    return {model: frozenset(some if len(some) == 1 else some - {"publication"}) for model, some in roles.items()}


def _examined_models(lineage: LineageIndex, step: ExecutionSummary) -> Iterator[InputRef]:
    for read in step.reads:
        maker = lineage.steps.get(read.maker or "")
        if read.channel == "model" and maker is not None and maker.node == CLASSIFIER:
            yield read


def _training_roles(bits: int) -> set[str]:
    through = {"autoencoder"} if bits & IN_AUTOENCODER else set()
    return through | ({"classifier"} if bits & (USED | TRAINED_ON | IN_CLASSIFIER) else set())
