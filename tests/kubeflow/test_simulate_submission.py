"""Files that the API server, or Argo, would refuse; runtime parameters."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from kubeflow.broken_files import BROKEN
from kubeflow.compiled_files import broken, judged
from kubeflow.judged_files import JUDGED
from toy_pipelines import OSS_ROOT, Toy, constant, document, run, seen, spy

from components.errors import BadInput
from kubeflow import verdicts
from pipeline.kubeflow.document import OSS, VERTEX, Document
from pipeline.kubeflow.lint.check import require_accepted
from pipeline.kubeflow.simulate.run import Options, Simulation

STRING = {"parameterType": "STRING"}


def changed(**fields: Any) -> Document:
    compiled = document(Make=Toy())
    return dataclasses.replace(compiled, spec={**compiled.spec, **fields})


def with_executor(executor: dict[str, Any]) -> Document:
    return changed(deploymentSpec={"executors": {"Make_executor": executor}})


@pytest.mark.parametrize(
    ("compiled", "rule"),
    [
        (changed(schemaVersion="2.0.0"), "KFP only supports schema version 2.1.0: wanted 2.1.0, got 2.0.0"),
        (changed(pipelineInfo={"name": ""}), "name for the pipeline"),
        (changed(deploymentSpec={}), "Make: executor with label 'Make_executor' not found"),
        (with_executor({"resolver": {}}), "Make: .*resolver executors not implemented"),
        (changed(components={"Make": {"dag": {}}}), "Make: a sub-graph is not imitated"),
        (document(**{"Trainer.mnist": Toy()}), "Trainer.mnist: Argo refuses the name"),
        (document(latest_blessed=Toy()), "latest_blessed: Argo refuses the name"),
        (
            document(Make=Toy(spec={"triggerPolicy": {"condition": "1 > 0"}})),
            "Make: a condition that is not understood",
        ),
        (document(Make=Toy(spec={"parameterIterator": {}})), "Make: parameterIterator is not imitated"),
        (
            document(Make=Toy(spec={"triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}})),
            "Make: trigger strategy ALL_UPSTREAM_TASKS_COMPLETED is not imitated",
        ),
        (
            document(Make=Toy(importer={}, makes=("data",), spec={"triggerPolicy": {"condition": "1 > 0"}})),
            "Make: triggerPolicy.condition on importer task is not supported",
        ),
        (document(Make=Toy(after=("Nobody",))), "tasks that can never start"),
        (changed(defaultPipelineRoot="file:///tmp"), "pipeline root: wanted minio://, s3://, gs://, got file:///tmp"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_a_cluster_would_refuse_is_refused_before_anything_runs(
    tmp_path: Path, compiled: Document, rule: str
):
    with pytest.raises(BadInput, match=rule):
        run(compiled, tmp_path / "root")
    assert not (tmp_path / "root").exists()


CHANGES = {name: change for name, (change, _) in BROKEN.items()} | JUDGED
SEEN = [verdict.change for verdict in verdicts.read() if verdict.refused and verdict.change in CHANGES]


@pytest.mark.parametrize("change", SEEN)
def test_what_kubeflow_was_seen_to_refuse_is_not_simulated(tmp_path: Path, change: str):
    with pytest.raises(BadInput):
        begun(broken(judged(), CHANGES[change]), tmp_path / "root")
    assert not (tmp_path / "root").exists()


def begun(compiled: Document, root: Path) -> Simulation:
    """Does what `kubeflow simulate` does before it executes anything."""
    require_accepted(compiled)
    return Simulation(compiled, Options(root=root))


def test_a_volume_that_does_not_say_where_it_is_mounted_is_refused(tmp_path: Path):
    compiled = broken(judged(), CHANGES["a volume without a path"])
    with pytest.raises(BadInput, match="a volume without a path"):
        Simulation(compiled, Options(root=tmp_path / "root"))


def test_open_source_kfp_takes_no_pipeline_job(tmp_path: Path):
    with pytest.raises(BadInput, match="no PipelineJob"):
        run(document(VERTEX, Make=Toy()), tmp_path / "root", target=OSS)


def test_vertex_takes_names_that_argo_refuses_and_wants_a_bucket_of_its_own(tmp_path: Path):
    assert run(document(VERTEX, **{"Trainer.mnist": Toy()}), tmp_path / "root").error is None
    with pytest.raises(BadInput, match=f"wanted gs://, got {OSS_ROOT}"):
        run(document(Make=Toy()), tmp_path / "root", target=VERTEX)


def test_without_a_root_kfps_own_default_is_taken(tmp_path: Path):
    compiled = document(Make=Toy(script="make('data')", makes=("data",)))
    spec = {name: value for name, value in compiled.spec.items() if name != "defaultPipelineRoot"}

    assert run(dataclasses.replace(compiled, spec=spec), tmp_path / "root").error is None


@pytest.mark.parametrize(
    ("parameters", "given", "message"),
    [
        (
            {"word": STRING},
            {},
            "word: parameter is not optional, yet has neither default value nor user provided value",
        ),
        ({}, {"word": "w"}, "word: parameter is not required by pipeline: wanted one of none"),
        ({"n": {"parameterType": "NUMBER_INTEGER"}}, {"n": "many"}, "n: input parameter requires type NUMBER_INTEGER"),
        ({"word": {**STRING, "defaultValue": 3}}, {}, "word: input parameter requires type STRING: got 3"),
    ],
)
def test_a_runtime_parameter_has_to_be_there_and_of_its_type(
    tmp_path: Path, parameters: dict[str, Any], given: dict[str, str], message: str
):
    with pytest.raises(BadInput, match=message):
        run(document(parameters=parameters, Make=Toy()), tmp_path / "root", parameters=given)


def test_runtime_parameters_reach_the_tasks_given_or_by_default(tmp_path: Path):
    root = tmp_path / "root"
    parameters = {
        "word": {**STRING, "defaultValue": "default"},
        "other": {**STRING, "defaultValue": "default"},
        "number": {"parameterType": "NUMBER_INTEGER"},
    }
    toy = Toy(
        script=spy(root, "inputs['parameterValues']"),
        given={name: {"componentInputParameter": name} for name in parameters},
        types={"number": "NUMBER_INTEGER"},
    )

    run(document(parameters=parameters, Make=toy), root, parameters={"word": "given", "number": 3})

    assert seen(root) == {"number": 3, "other": "default", "word": "given"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"componentInputParameter": "nobody"}, "parent DAG does not have input parameter nobody"),
        (
            {"taskOutputParameter": {"producerTask": "Nobody_task", "outputParameterKey": "k"}},
            "cannot find producer task",
        ),
        ({"taskFinalStatus": {}}, "param spec taskFinalStatus not implemented"),
        (constant(3), "parameter 'word' type mismatch: expect BOOLEAN, got '3'"),
        (constant("x"), "parameter 'word' type mismatch: expect BOOLEAN, got 'x'"),
    ],
)
def test_a_parameter_that_the_driver_cannot_resolve_fails_the_task(tmp_path: Path, given: dict[str, Any], message: str):
    compiled = document(Make=Toy())
    compiled.spec["root"]["dag"]["tasks"]["Make"]["inputs"]["parameters"] = {"word": given}
    compiled.spec["components"]["Make"]["inputDefinitions"]["parameters"] = {"word": {"parameterType": "BOOLEAN"}}

    finished = run(compiled, tmp_path / "root")

    assert finished.error.exit_code == 4
    assert message in str(finished.error)


def test_what_a_component_wants_and_nobody_gives_fails_the_task(tmp_path: Path):
    compiled = document(Make=Toy(given={"word": constant("w")}))
    compiled.spec["root"]["dag"]["tasks"]["Make"]["inputs"]["parameters"] = {}

    assert "for non-optional parameter 'word'" in str(run(compiled, tmp_path / "root").error)


def test_an_optional_parameter_gets_its_default_in_the_launcher(tmp_path: Path):
    root = tmp_path / "root"
    script = spy(root, "inputs['parameterValues']")
    compiled = document(
        Make=Toy(script=script, given={"word": constant("w"), "n": constant(1)}, types={"n": "NUMBER_INTEGER"})
    )
    del compiled.spec["root"]["dag"]["tasks"]["Make"]["inputs"]["parameters"]["n"]
    declared = compiled.spec["components"]["Make"]["inputDefinitions"]["parameters"]
    declared["n"] |= {"isOptional": True, "defaultValue": 5}

    run(compiled, root)

    assert seen(root) == {"n": 5, "word": "w"}


def test_constants_that_are_placeholders_are_resolved_from_end_to_end_alone(tmp_path: Path):
    root = tmp_path / "root"
    names = ("pipeline_job_uuid", "pipeline_task_name", "pipeline_job_create_time_utc")
    given = {name: constant(f"{{{{$.{name}}}}}") for name in names} | {"inner": constant("a {{$.pipeline_job_uuid}}")}
    script = spy(root, "inputs['parameterValues']")

    finished = run(document(Make=Toy(script=script, given=given)), root)

    found = seen(root)
    assert found["pipeline_job_uuid"] == finished.result.run_id
    assert found["pipeline_task_name"] == "Make"
    assert found["pipeline_job_create_time_utc"].endswith("Z")
    assert found["inner"] == "a {{$.pipeline_job_uuid}}"


def test_an_input_artifact_that_was_never_made_fails_the_task(tmp_path: Path):
    toys = document(Make=Toy(), Read=Toy(reads={"data": ("Make", "data")}))

    assert "cannot find output artifact key 'data'" in str(run(toys, tmp_path / "root").error)
