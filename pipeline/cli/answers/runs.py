"""Models of the answers about runs, data, schemas, served versions and predictions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.cli.answers.lineage import Approval
from pipeline.cli.answers.model import Count, Digest, Model, Positive, Problem, Seconds, Text, Version
from pipeline.cli.answers.records import RunRecord, State


class Node(Model):
    """What became of a node or task."""

    id: Text
    state: State
    seconds: Seconds
    why: str


class Metrics(Model):
    """Figures of the test split; null where there are none, or for what is no finite number."""

    accuracy: float | None
    loss: float | None
    reconstruction_mse: float | None
    per_class: dict[str, Any] | None


class RunResult(Model):
    """How far a run got, whatever ended it."""

    nothing_to_do: str | None
    """Why nothing was executed; null where something was."""
    run_id: str | None
    recipe: str | None
    payload_digests: dict[str, Digest]
    rows_digest: Digest | None
    nodes: list[Node]
    metrics: Metrics
    blessed: bool | None
    baseline: str | None
    version: int | None
    serving_path: str | None
    exports: list[str]
    report: str | None
    log: str | None
    """What the run and the libraries said; null where nothing was run, or a cluster has it."""
    import_s: float
    train_s: float
    total_s: float


class PlannedNode(Model):
    """What a run would do with a node."""

    id: str
    state: Literal["cached", "execute"]
    why: Text


class DryRun(Model):
    """`run --dry-run`: the resolved recipe and what would execute."""

    settings: dict[str, Any]
    nodes: list[PlannedNode]
    rows: dict[str, Count] | None
    """Rows that each split would have; null where the data would not be read again."""


class UnrecordedRun(Model):
    """A run that has left no record, yet or for ever."""

    run_id: str
    state: Literal["running", "killed", "unfinished"]
    """`unfinished`: it cannot be told whether it is at work."""
    recipe: str | None
    pid: int | None
    host: str | None
    started: str | None
    phase: str | None
    """What it is doing, or was when it was killed."""
    since: str | None


class SweptCandidate(Model):
    """One combination of a sweep."""

    values: dict[str, Any]
    """{key of the recipe: value}."""
    run_id: str | None
    """Of the candidate; null where the sweep had stopped."""
    validation_accuracy: float | None
    """In the epoch whose weights were kept: what the choice is made by."""
    test_accuracy: float | None
    """Takes no part in the choice."""
    seconds: Seconds | None
    version: int | None
    state: Text
    """`pushed`, `not chosen` or `not run`; or how it, or the run of the chosen one, ended instead."""


class Sweep(Model):
    """`run --sweep`: all combinations, and the run of the one that was chosen."""

    sweep: Text
    chosen_by: Text
    candidates: list[SweptCandidate]
    chosen: Count | None
    """Its place among the candidates, from 0."""
    run: RunResult | None
    total_s: float


class PlannedSweepNode(Model):
    """What a sweep would do with a node; `shared` is one that a candidate before it executes."""

    id: str
    state: Literal["cached", "execute", "shared"]
    why: Text


class PlannedCandidate(Model):
    """One combination that would be run."""

    values: dict[str, Any]
    nodes: list[PlannedSweepNode]


class SweepPlan(Model):
    """`run --sweep --dry-run`: what would be executed for each combination."""

    candidates: list[PlannedCandidate]


class Runs(Model):
    """All runs of a root, oldest first."""

    runs: list[RunRecord]
    unrecorded: list[UnrecordedRun]
    """The one at work is the last."""
    by: dict[str, str]
    """{run id: who started it}, of the runs whose user wanted that on record."""


class Run(Model):
    """One run of a root."""

    run: RunRecord | None
    unrecorded: UnrecordedRun | None
    """In place of `run`, where it has left no record."""


class StoppedRun(Model):
    """A run that was at work and was ended."""

    run_id: Text
    phase: Text
    """What it was doing when it was told to end."""
    seconds: Seconds
    status: str | None
    """As its record has it; null for a sweep, whose candidates have records."""


class Page(Model):
    """The page that was written about one or two runs."""

    runs: list[str] = Field(min_length=1, max_length=2)
    path: str
    bytes: Annotated[int, Field(ge=1, le=4_000_000)]
    """Of the page, pictures and all."""
    unanswered: str | None
    """Why the models could not be asked; null if they were, or there are none."""


class Check(Model):
    """Something that `doctor` looked at."""

    check: str
    found: str
    wrong: str | None


class Diagnosis(Model):
    """All that `doctor` looked at."""

    findings: list[Check]


class DataFile(Model):
    """A file of data."""

    path: str
    sha256: Digest


class FetchedData(Model):
    """The files that were written."""

    files: list[DataFile]


class ExcludedRows(Model):
    """Data files that were written without some rows."""

    folder: Text
    form: Text
    rows: dict[str, Count]
    """That stayed, by part."""
    left_out: dict[str, Count]
    unmatched: list[Digest]
    """Digests that no row has."""
    files: list[DataFile]
    """None where no digest has a row."""
    not_copied: list[str]
    """Files beside the data that may hold the rows as well."""


class ImportedData(Model):
    """The data files that an import wrote, and what to do with them."""

    folder: Text
    form: Text
    record: Digest
    """Of `import.json`, which says where each row came from."""
    again: bool
    """Whether the folder held this import already."""
    rows: dict[str, Positive]
    shape: list[Positive]
    class_names: list[str]
    files: list[DataFile]
    skipped: list[str]
    notes: list[str]
    commands: list[str]


class DuplicateImages(Model):
    """Images that come more than once, whatever their label."""

    within: dict[str, Count]
    """Rows of each part whose image came before in it."""
    between: Count
    """Images of the test part that the training part has as well."""


class InspectedData(Model):
    """What a data set is, and what to do with it."""

    path: Text
    form: Text
    importable: bool
    """Whether `data import` has to make data files of it first."""
    files: list[str]
    ignored: list[str]
    rows: dict[str, Count]
    shape: list[Positive]
    highest: Count
    """The largest pixel."""
    pixel_max: Positive
    label: str | None
    """The label's column in a CSV."""
    label_count: Positive
    label_offset: Count
    counts: dict[str, list[Count]]
    """Rows of each class, by part."""
    empty_classes: list[Count]
    class_names: list[str]
    class_names_file: str | None
    transpose: bool
    ignore_columns: list[str]
    orientation: str | None
    """How upright digits are stored; null where that cannot be told."""
    inverted: bool
    duplicates: DuplicateImages
    geometry: Text
    schema_: Annotated[str | None, Field(alias="schema")]
    """The reviewed schema that fits."""
    reviewed: bool
    """Whether there is a reviewed schema of the geometry."""
    flags: list[str]
    """The options that `run` needs to read it so."""
    problems: list[str]
    """Why a run would refuse it before anything is trained."""
    notes: list[str]
    commands: list[str]
    """What to do next."""


class RecipeSummary(Model):
    """A recipe that comes along."""

    name: Text
    geometry: Text
    network: Text
    profiles: list[str]


class Recipes(Model):
    """The recipes that come along."""

    recipes: list[RecipeSummary]


class ShownRecipe(Model):
    """A recipe with everything resolved."""

    recipe: dict[str, Any]
    chain: list[str]
    """The recipe, what it extends, and so on."""
    profile: str | None
    profiles: list[str]


class CheckedRecipe(Model):
    """A recipe of which nothing is wrong."""

    file: str
    name: Text
    geometry: Text
    chain: list[str]
    profiles: list[str]
    schema_: str | None = Field(alias="schema")
    """The reviewed schema of its geometry; null where there is none."""


class NewRecipe(Model):
    """A recipe that was written."""

    file: str
    notes: list[str]
    commands: list[str]
    """What to do next, in this order."""


class SchemaDraft(Model):
    """A proposed schema, in words as well."""

    draft: str
    says: list[str]


class SchemaChanges(Model):
    """What approving a draft would change."""

    changes: list[str]


class ApprovedSchema(Model):
    """A schema that is in force now."""

    digest: Digest
    folder: str
    by: str | None
    """Who approved it, where that was said."""


class ServedVersion(Model):
    """A version in the serving directory."""

    version: Version
    pushed: Text | None
    digest: Digest
    complete: bool
    provenance: bool
    approvals: list[Approval]
    path: str


class ForeignEntry(Model):
    """What TensorFlow Serving may take for a version, and nobody pushed."""

    path: Text
    number: int
    what: Text
    preferred: bool
    remedy: Text


class LoadedVersion(Model):
    """A version that is served."""

    version: Version
    digest: Digest


class ModelServer(Model):
    """A model server that answers."""

    rest: Text
    """Address of the model's REST resource; `:predict` follows."""
    grpc: Text | None
    """Address of the gRPC services."""
    versions: list[LoadedVersion]


class WorkerPool(Model):
    """A pool of Beam workers that answers."""

    address: Text
    """Host and port, for `--beam-option environment_config`."""


class ServedVersions(Model):
    """What the serving directory holds."""

    versions: list[ServedVersion]
    staged: list[ServedVersion]
    """Versions that wait for their promotion; no server sees them."""
    foreign: list[ForeignEntry]
    missing: list[Version]
    """Versions that were pushed, not pruned, and are not there."""
    link: Problem | None
    """What is wrong with the directory itself, where it is a link, which nothing follows."""


class GateCheck(Model):
    """One rule of the schema gate, applied to some rows."""

    rule: Text
    split: Text
    feature: Text
    value: float
    detail: Text
    threshold: float
    action: Literal["refuse", "warn", "off"]
    aspect: str | None
    cause: str | None
    classes: list[Count]
    passed: bool


class Monitoring(Model):
    """How the sampled requests to a version compare with the rows that it was trained on."""

    version: Version
    digest: Digest
    state: Literal["as trained", "unlike", "too few"]
    rows: Count
    since: str | None
    """UTC time of the oldest file of samples."""
    until: str | None
    asked: Text
    cause: str | None
    facts: list[str]
    checks: list[GateCheck]


class Promotion(Model):
    """A staged version that is in service now."""

    version: Version
    path: Text
    digest: Digest
    run_id: Text
    """Of the run that staged it."""
    before: Version | None
    """What was served until now."""
    approval: Approval | None


class WithdrawnApprovals(Model):
    """The approvals of a version that do not hold any more."""

    version: Version
    approvals: list[Approval]


class WithdrawnSchemaApprovals(Model):
    """The approvals of a schema that do not hold any more."""

    geometry: Text
    approvals: list[Approval]


class Rollback(Model):
    """An old version that is served again, under a new number."""

    version: Version
    path: Text
    digest: Digest
    restored: Version
    rolled_back_from: Version
    record: Digest
    run_id: Text


class PrunedVersion(Model):
    """A version that was removed."""

    version: Version
    path: Text
    digest: Digest
    bytes: Count


class Pruning(Model):
    """What was removed from the serving directory, or would be."""

    dry_run: bool
    bytes: Count
    pruned: list[PrunedVersion]
    kept: list[Version]
    left: list[Text]


Probability = Annotated[float, Field(ge=0, le=1)]


Doubt = Literal["unsure", "near another class", "unlike the training data", "frame left out", "strokes joined"]


class Choice(Model):
    """Something that was decided about the ink of a digit."""

    kind: Literal["frame left out", "strokes joined"]
    confidence: Probability


class Reading(Model):
    """One digit on a photograph."""

    label: Count | None = Field(alias="class")
    probability: Probability | None
    second: Count | None
    second_probability: Probability | None
    doubts: list[Doubt]
    choices: list[Choice]
    box: Annotated[list[Probability], Field(min_length=4, max_length=4)]
    """Top, left, bottom and right, as shares of the photograph's sides."""


class Photograph(Model):
    """What is on one photograph."""

    path: str
    dark_on_light: bool
    readings: list[Reading] | None
    """Every digit on it, in reading order; null without --many."""
    truth: Count | None
    right: bool | None


class Answered(Photograph):
    """A photograph of one digit, and which one the model takes it for."""

    state: Literal["read"]
    digits: Literal[1]
    label: Count = Field(alias="class")
    probability: Probability
    second: Count
    second_probability: Probability
    doubts: list[Doubt]
    """Why the answer is doubtful; empty also where `held_out` is null, and nobody can tell."""
    choices: list[Choice]
    """What was decided about the ink: `doubts` names it where the answer would be another one otherwise."""


class Unanswered(Photograph):
    """A photograph of no digit, or of several."""

    state: Literal["empty", "several"]
    digits: Count
    """How many are on the photograph."""
    label: None = Field(alias="class")
    probability: None
    second: None
    second_probability: None
    doubts: Annotated[list[str], Field(max_length=0)]
    choices: Annotated[list[str], Field(max_length=0)]


class LeftOut(Model):
    """A file that was not read."""

    path: str
    why: str


class AnsweredTable(Model):
    """The answers to the rows of a data file, counted."""

    path: str
    rows: Positive
    counts: list[Count]
    """Of the answers, by class."""
    doubted: Count | None
    accuracy: Probability | None
    """Null where the file has no labels."""


class HeldOut(Model):
    """How often answers to rows held out from training are doubted."""

    rows: Positive
    doubted: Probability
    unlike: Probability
    """Share of them that is said to be unlike the training data."""
    wrong: Count
    wrong_doubted: Count


class Predictions(Model):
    """What a served version reads from photographs."""

    version: Version
    path: str
    """The folder of the served version."""
    digest: Digest
    shape: Annotated[list[Positive], Field(min_length=2, max_length=2)]
    """Height and width of the model's images."""
    pixel_max: Annotated[int, Field(ge=1, le=255)]
    files: list[Answered | Unanswered]
    tables: list[AnsweredTable]
    names: list[str]
    """What the user calls the classes, in their order."""
    ignored: list[LeftOut]
    unreadable: list[LeftOut]
    """Files that were named and are no photographs; the status is then usage, and all others are there."""
    orientation: str | None
    """How the version's data are stored, and pictures were turned for it; null where that is not known."""
    inverted: bool
    """Whether its data are dark on light."""
    held_out: HeldOut | None
    """Null where answers are not judged."""
    notes: list[str]
    accuracy: Probability | None
    sheet: str | None
    answers: str | None
    """The CSV that the answers were written to."""
