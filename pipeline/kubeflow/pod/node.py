"""Execution of one node in a pod: its work, its record, its delivery.

The pod gets a root of its own, laid out as a local one: outputs below `artifacts/`, copies of data and schema below
`inputs/`, the records of everything upstream, the serving volume as `serving`. What depends on bytes is resolved by the
same functions that resolve it for the local runner, TFX's executor does the work, and the record says the same things
with the same words. Only then are the outputs moved to where they are to be uploaded from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components import reviewed_schema
from components.atomic_pusher import BLESSINGS
from components.baseline import BaselineDriver
from components.declaration import CODE_DIGEST, SETTINGS
from components.errors import AGAIN, EnvironmentProblem, MnistTfxError, Refused
from components.schema_files import find_reviewed
from components.training.process import CHECKPOINTS, OWN_CODE
from pipeline.config.beam import engine_of
from pipeline.config.beam_engines import DIRECT
from pipeline.kubeflow import names, places
from pipeline.kubeflow.places import Place
from pipeline.kubeflow.pod import data, delivery, executor, image_code, schemas
from pipeline.kubeflow.pod.delivery import Output
from pipeline.kubeflow.pod.invocation import Artifact, Invocation
from pipeline.kubeflow.pod.public_names import name_places
from pipeline.kubeflow.pod.refusals import Refusals
from pipeline.kubeflow.pod.upstream import Upstream
from pipeline.kubeflow.pod.upstream import read as read_upstream
from pipeline.process.signals import PROCESS
from pipeline.provenance import artifacts, candidate, keys, own_code, record_store, recording, records, results
from pipeline.provenance.artifacts import DIGEST_PROPERTY, RECORD_PROPERTY, ArtifactEntry
from pipeline.provenance.code import Code, lock_digest
from pipeline.provenance.git import git_state
from pipeline.provenance.keys import PrivateKey
from pipeline.provenance.own_code import OwnCode
from pipeline.provenance.parameters import unpack_parameters
from pipeline.provenance.records import ExecutionRecord, Scalar
from pipeline.root.paths import RunPaths
from pipeline.stages import PUSHER, STAGES

READ: Final = "read"
"""Folder of the pod's root for copies of what is read."""

TFX_VERSION: Final = "tfx_version"

COMPILE: Final = "mnist-tfx kubeflow compile ..."
"""In a command: the command line that the file was compiled with, which a pod does not know."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What a compiled file has a node's container do.

    Attributes:
      node: node id.
      pipeline: recipe name.
      executor: import path of the executor's class.
      invocation: what KFP sent.
      serving: where the serving volume is mounted; None for nodes that do not use it.
      sign_key: PEM file of the key to sign provenance with.
      beam_args: for a Beam executor.
    """

    node: str
    pipeline: str
    executor: str
    invocation: Invocation
    serving: str | None = None
    sign_key: Path | None = None
    beam_args: tuple[str, ...] = ()


def run(task: Task, scratch: Path) -> None:
    """Run a node in a pod.

    Args:
      task: the node and what KFP sent.
      scratch: an empty folder on a local disk.

    Raises:
      BadInput: for unusable data or settings.
      Refused: if a gate refuses, an input was changed, or the image holds other code than was compiled.
      EnvironmentProblem: if something cannot be read or written.
    """
    _Execution(task, RunPaths(scratch)).run()


class _Execution:
    """One node in one pod, step by step."""

    def __init__(self, task: Task, paths: RunPaths) -> None:
        self._task = task
        self._paths = paths
        self._place: Place = places.place_of(next(iter(task.invocation.outputs.values())).uri, task.node)
        self._task_folder = paths.root / "task"
        self._engine = engine_of(task.beam_args)
        self._own_code: OwnCode | None = None

    def run(self) -> None:
        task, started, clock = self._task, time.time(), time.monotonic()
        self._mount_serving()
        upstream = read_upstream(self._paths, self._place, task.invocation.inputs)
        lock = lock_digest()
        code = self._code(lock)
        parameters = self._resolved(upstream)
        work = self._work(upstream, parameters, code, lock)
        refusals = Refusals.of(self._place, task.node, work.key)
        refusals.repeat()
        PROCESS.check()
        # What is served is delivered with its record, or not served.
        with PROCESS.held_back() if task.node == PUSHER else contextlib.nullcontext():
            try:
                properties = self._execute(upstream, parameters, work.key)
            except MnistTfxError as err:
                name_places(err, self._public_names())
                refusals.keep(err)
                raise
            with PROCESS.held_back():
                refusals.forget()
                self._finish(work, properties, started, time.monotonic() - clock)

    def _execute(self, upstream: Upstream, parameters: Mapping[str, Scalar], key: str) -> Mapping[str, dict[str, Any]]:
        """Do the work, once it is known what it is; whatever it refuses, it refuses for these inputs for good."""
        if self._task.node == PUSHER:
            _require_blessed(upstream)
            self._write_provenance(upstream)
        self._keep_checkpoints(key)
        if self._own_code is not None:
            os.environ[OWN_CODE] = str(own_code.keep(self._paths.inputs, self._own_code))
        return executor.execute(
            executor.Call(
                executor=self._task.executor,
                parameters=parameters,
                inputs=self._inputs(upstream),
                outputs=self._outputs(),
                folder=self._task_folder,
                beam_args=self._task.beam_args,
            )
        )

    def _mount_serving(self) -> None:
        if self._task.serving is not None:
            find = places.writable if self._task.node == PUSHER else places.mounted
            self._paths.serving.symlink_to(find(self._task.serving))

    def _code(self, lock: str) -> Code:
        """Return the node's code in this image, which has to be what the pipeline was compiled from."""
        settings = unpack_parameters(self._task.invocation.parameters).get(SETTINGS)
        build = settings.get("build") if isinstance(settings, dict) else None
        code, self._own_code = image_code.of_node(self._task.node, build, lock)
        wanted = self._task.invocation.parameters.get(CODE_DIGEST)
        if code.digest != wanted:
            raise Refused(
                "the image holds other code than the pipeline was compiled from",
                where=self._task.node,
                wanted=f"{CODE_DIGEST} {wanted}",
                got=code.digest,
                hint="compile again from the checkout, and the code of yours, that the image was built from",
            )
        return code

    def _resolved(self, upstream: Upstream) -> dict[str, Scalar]:
        """Return the execution properties, those that follow from the bytes of data, schema or served model filled in."""
        given, root = dict(self._task.invocation.parameters), self._paths.root
        depends_on = STAGES[self._task.node].depends_on
        if depends_on == "data":
            given = data.resolve(self._task.invocation, root)
        elif depends_on == "schema":
            given = reviewed_schema.resolve({**given, "source": _schema_folder(given)}, root)
        elif depends_on == "served":
            digests = {channel: [ref.sha256] for channel, ref in upstream.refs.items()}
            given = BaselineDriver.resolve(given, root, digests)
        return {name: value for name, value in given.items() if value is not None}

    def _work(
        self, upstream: Upstream, parameters: Mapping[str, Scalar], code: Code, lock: str
    ) -> recording.PendingExecution:
        recorded = records.without_root(parameters, str(self._paths.root))
        inputs = {channel: (ref,) for channel, ref in upstream.refs.items()}
        return recording.PendingExecution(
            pipeline=self._task.pipeline,
            run_id=self._place.run_id,
            node=self._task.node,
            key=records.node_key(self._task.node, self._task.executor, recorded, inputs),
            parameters=recorded,
            code=code,
            lock_digest=lock,
            environment=records.Environment.here(device="cpu"),
            git=git_state(),
            inputs=inputs,
            # Only Beam nodes get Beam arguments.
            extra={
                records.ORCHESTRATOR: records.KUBEFLOW,
                **({} if self._engine is None else {records.BEAM: self._engine.name}),
            },
        )

    def _write_provenance(self, upstream: Upstream) -> None:
        model = upstream.refs["model"]
        maker = upstream.records[str(model.record)]
        assert isinstance(maker, ExecutionRecord)  # noqa: S101  # `upstream` has seen to it
        entry = next(e for entries in maker.outputs.values() for e in entries if e.path == model.path)
        folder = executor.temporary_folder(self._task_folder)
        candidate.write(folder, entry, upstream.records, upstream.heads(), _private_key(self._task.sign_key))

    def _keep_checkpoints(self, key: str) -> None:
        if (folder := os.environ.get(names.CHECKPOINT_FOLDER)) is not None:
            os.environ[CHECKPOINTS] = str(places.volume(folder) / key)

    def _inputs(self, upstream: Upstream) -> dict[str, tuple[Artifact, Path]]:
        return {
            channel: (it, self._readable(channel, places.local(it.uri))) for channel, it in upstream.artifacts.items()
        }

    def _readable(self, channel: str, folder: Path) -> Path:
        """Return where an executor finds an input.

        The workers of a distributed engine see nothing of a pod but what lies on a volume that they mount as well: the
        pod's root is there if TMPDIR says so, what the launcher downloaded is not.
        """
        if self._engine is None or self._engine.name == DIRECT:
            return folder
        copy = self._paths.root / READ / channel
        shutil.copytree(folder, copy)
        return copy

    def _outputs(self) -> dict[str, tuple[Artifact, Path]]:
        wanted = {name: it for name, it in self._task.invocation.outputs.items() if name != names.LINEAGE}
        return {channel: (it, self._paths.root / self._output_path(channel)) for channel, it in wanted.items()}

    def _output_path(self, channel: str) -> str:
        """Return where an output is made, as the local runner lays it out: executors find their root from there."""
        return f"{self._paths.artifacts.name}/{self._task.node}/{channel}/1"

    def _finish(
        self, work: recording.PendingExecution, properties: Mapping[str, Mapping[str, Any]], started: float, s: float
    ) -> None:
        folders = {channel: self._paths.root / self._output_path(channel) for channel in properties}
        portable = {channel: self._portable(values) for channel, values in properties.items()}
        entries = {channel: (self._entry(channel, portable[channel]),) for channel in properties}
        record = recording.execution_record(work, entries, folders, started=started, seconds=s)
        hash_ = record_store.write(self._paths.records, record)
        outputs = {
            channel: Output(
                folder=folder,
                properties={
                    **portable[channel],
                    DIGEST_PROPERTY: entries[channel][0].sha256,
                    RECORD_PROPERTY: hash_,
                },
            )
            for channel, folder in folders.items()
        }
        outputs[names.LINEAGE] = Output(folder=self._lineage(), properties={RECORD_PROPERTY: hash_})
        delivery.deliver(self._task.invocation, outputs)

    def _entry(self, channel: str, properties: Mapping[str, Any]) -> ArtifactEntry:
        """Return what was made as records hold it: at the path where it is going to be, relative to the pipeline root."""
        wanted = self._task.invocation.outputs[channel]
        own = {name: value for name, value in properties.items() if name != TFX_VERSION}
        measured = artifacts.measure(
            self._paths.root,
            self._output_path(channel),
            type_name=wanted.type_name,
            properties=artifacts.without_root(own, self._place.root),
        )
        return dataclasses.replace(measured, path=self._place.relative(wanted.uri))

    def _portable(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """Return properties in which the pod's folders are written as what they stand for."""
        portable = dict(properties)
        for folder, name in self._public_names().items():
            portable = {key: it.replace(folder, name) if isinstance(it, str) else it for key, it in portable.items()}
        return portable

    def _public_names(self) -> dict[str, str]:
        """Return {folder of the pod: what it stands for}."""
        names_of = {str(places.local(it.uri)): it.uri for it in self._task.invocation.inputs.values()}
        return {**names_of, str(self._paths.serving): str(self._task.serving)}

    def _lineage(self) -> Path:
        """Return the folder that hands on the records, and of a reader the copies of what it read."""
        folder = self._paths.root / names.LINEAGE
        folder.mkdir()
        self._paths.records.rename(folder / self._paths.records.name)
        if self._paths.inputs.is_dir():
            (self._paths.inputs / ".lock").unlink(missing_ok=True)
            self._paths.inputs.rename(folder / self._paths.inputs.name)
        return folder


def _schema_folder(parameters: Mapping[str, Scalar]) -> str:
    folder = schemas.folder(str(parameters["source"]))
    return str(find_reviewed(str(parameters["geometry"]), folder).schema.parent)


def _require_blessed(upstream: Upstream) -> None:
    """Refuse a candidate that was not blessed; the step that did not bless it has kept its evidence."""
    for channel in BLESSINGS:
        node = STAGES[PUSHER].inputs[channel].partition(".")[0]
        if upstream.artifacts[channel].metadata.get("blessed") != 1:
            maker = upstream.records[str(upstream.refs[channel].record)]
            assert isinstance(maker, ExecutionRecord)  # noqa: S101  # `upstream` has seen to it
            evidence = next((e.path for e in maker.outputs.get("evaluation", ())), upstream.refs[channel].path)
            raise not_blessed(node, places.local(upstream.artifacts[channel].uri), evidence)


def not_blessed(node: str, blessing: Path, evidence: str) -> Refused:
    """Return the refusal that a local run ends with, with the commands of a cluster."""
    where = f"all reasons are in {evidence} below the pipeline root"
    try:
        refused = results.refusal_by(node, blessing)
    except EnvironmentProblem:  # of an older release
        return Refused("not blessed", where=node, hint=where)
    again = [command for command in refused.commands if "--force" not in command]
    commands = [command.replace(AGAIN, COMPILE) for command in again]
    hint = f"{refused.hint}; {where}"
    return Refused(refused.what, where=node, hint=hint, facts=refused.facts, commands=commands)


def _private_key(path: Path | None) -> PrivateKey | None:
    from pipeline.provenance.keys import passphrase

    return None if path is None else keys.load_private(path, passphrase)
