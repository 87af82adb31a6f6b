"""What was asked for with --beam -> Beam's arguments, against the Beam that is installed."""

import json
import socket
from concurrent import futures

import grpc
import pytest
from click.testing import CliRunner
from command_line import mnist_tfx

from components.errors import BadInput, EnvironmentProblem
from components.ingest import artifact, partial, units
from components.ingest.rows import INDEX, Assignment
from components.settings import DataSettings, HashSplit
from pipeline.cli.main import cli
from pipeline.config import beam
from pipeline.config.beam_engines import ENGINES
from pipeline.config.request import Request, settings_and_paths

FLINK = "flink_master=http://flink:8081"
IMAGE = "sdk_container_image=registry.example/m:1"


def examples(engine):
    """An example of every option, as somebody would give them all."""
    return [f"{option.name}={option.example}" for option in engine.options]


ONE_OF_TWO_WAYS = {"spark": "spark_rest_url", "flink": "flink_submit_uber_jar"}
"""Options that exclude job_endpoint."""


def together(engine):
    """The same without those that exclude another one."""
    return [text for text in examples(engine) if text.partition("=")[0] != ONE_OF_TWO_WAYS.get(engine.name)]


NEEDED = {
    "flink": [FLINK],
    "spark": ["job_endpoint=localhost:8099"],
    "dataflow": ["project=p", "region=r", "temp_location=gs://b/t", IMAGE],
}


def as_beam_reads(arguments):
    from apache_beam.options.pipeline_options import PipelineOptions

    # As it reads them for a cluster: options of its runners in Java are not declared in Python.
    return PipelineOptions(list(arguments)).get_all_options(retain_unknown_options=True)


def test_nothing_said_is_the_fn_api_runner_in_this_process():
    assert beam.BEAM_ARGS == (
        "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
        "--sdk_container_image=unused",
    )


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
def test_every_option_reaches_the_installed_beam(engine):
    read = as_beam_reads(beam.choose(engine.name, together(engine)).arguments)
    for option in engine.options:
        if option.name == ONE_OF_TWO_WAYS.get(engine.name):
            continue
        if option.name == "no_use_public_ips":
            assert read["use_public_ips"] is False
        elif option.own:
            assert f"{option.name}={option.example}" in read["experiments"]
        elif option.name == "experiments":
            assert option.example in read["experiments"]
        else:
            assert str(read[option.name]).lower() == option.example.lower()


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
def test_every_runner_is_there(engine):
    from apache_beam.runners.runner import create_runner

    [runner] = [argument.removeprefix("--runner=") for argument in engine.fixed if argument.startswith("--runner=")]
    assert type(create_runner(runner)).__name__ == runner.rpartition(".")[2]


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
def test_tfx_packs_its_sources_for_no_engine(engine):
    from tfx.utils.dependency_utils import make_beam_dependency_flags

    arguments = list(beam.choose(engine.name, NEEDED.get(engine.name, [])).arguments)
    assert make_beam_dependency_flags(arguments) == arguments


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.name)
def test_beam_warns_of_no_option(engine, caplog):
    from apache_beam.options.pipeline_options import PipelineOptions

    PipelineOptions(list(beam.choose(engine.name, together(engine)).arguments)).get_all_options()
    assert caplog.messages == []


def test_a_cluster_asks_a_pool_beside_it_for_workers_where_nothing_is_said():
    read = as_beam_reads(beam.arguments("flink", [FLINK]))
    assert (read["environment_type"], read["environment_config"]) == ("EXTERNAL", "localhost:50000")
    read = as_beam_reads(beam.arguments("flink", [FLINK, "environment_config=pool:7"]))
    assert read["environment_config"] == "pool:7"


def test_containers_are_started_from_the_named_image():
    read = as_beam_reads(beam.arguments("spark", ["spark_rest_url=http://s:6066", "environment_type=DOCKER", IMAGE]))
    assert (read["environment_type"], read["environment_config"]) == ("DOCKER", "registry.example/m:1")


def test_the_later_of_two_values_counts_and_a_flag_can_be_turned_off():
    read = as_beam_reads(beam.arguments("flink", [FLINK, "parallelism=2", "parallelism=3"]))
    assert read["parallelism"] == 3
    assert "--flink_submit_uber_jar" in beam.arguments("flink", [FLINK])
    assert "--flink_submit_uber_jar" not in beam.arguments("flink", [FLINK, "flink_submit_uber_jar=false"])


@pytest.mark.parametrize(
    ("engine", "given", "message"),
    [
        ("prism", [], "--beam: no such engine: wanted one of direct, portable, flink, spark, dataflow, got prism"),
        ("dask", [], "computes one result of a pipeline"),
        ("direct", ["workers=2"], "no such option of direct: wanted one of direct_running_mode, direct_num_workers"),
        ("direct", ["direct_running_mode=fast"], "wanted in_memory or multi_threading or multi_processing, got fast"),
        ("direct", ["direct_num_workers=2"], "add --beam-option direct_running_mode=multi_processing"),
        ("direct", ["direct_num_workers"], "wanted a whole number, 0 for all cores, got '': such as"),
        ("portable", ["direct_num_workers=2"], "no such option of portable: wanted none, got direct_num_workers"),
        ("flink", [], "flink needs flink_master or job_endpoint: wanted the REST address of the job manager"),
        ("flink", ["flink_master=flink"], "got flink: such as flink_master=http://flink:8081"),
        ("flink", ["job_endpoint=h:1", "flink_submit_uber_jar=true"], "uploaded to a cluster's REST interface alone"),
        ("flink", ["flink_master=[local]", "flink_submit_uber_jar=true"], "nor flink_master=[local], got true"),
        ("flink", [FLINK, "execution_mode_for_batch=FAST"], "wanted PIPELINED or PIPELINED_FORCED or BATCH"),
        ("flink", [FLINK, "environment_type=LOOPBACK", "environment_config=h:1"], "wanted no environment_config"),
        ("spark", [], "spark needs job_endpoint or spark_rest_url"),
        ("spark", ["job_endpoint=h:1", "spark_rest_url=http://s:6066"], "there are two ways to the cluster"),
        ("spark", ["job_endpoint=h:1", "environment_cache_millis=1s"], "wanted milliseconds, got 1s"),
        ("flink", [FLINK, "flink_version=1.12"], "1.20"),
        ("flink", [FLINK, "parallelism=0"], "wanted a whole number from 1, got 0"),
        ("flink", [FLINK, "flink_submit_uber_jar=yes"], "wanted true or false, got yes"),
        ("flink", [FLINK, "environment_type=DOCKER"], "wanted sdk_container_image and no environment_config"),
        ("spark", ["spark_rest_url=http://s:6066", "spark_version=2"], "wanted 3, got 2"),
        ("dataflow", ["project=p", "region=r", IMAGE], "dataflow needs temp_location"),
        ("dataflow", ["temp_location=/tmp"], "wanted gs://bucket/folder, got /tmp"),
        ("dataflow", ["project=p", "region=r", "temp_location=gs://b/t"], "dataflow needs sdk_container_image"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(engine, given, message):
    with pytest.raises(BadInput) as refusal:
        beam.choose(engine, given)
    assert message in str(refusal.value)


def test_flink_versions_are_the_installed_beams():
    from apache_beam.options.pipeline_options import FlinkRunnerOptions

    for version in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS:
        assert f"--flink_version={version}" in beam.arguments("flink", [FLINK, f"flink_version={version}"])


def test_a_compiled_pipeline_cannot_use_the_service_of_a_local_run():
    with pytest.raises(BadInput, match="lives and ends with a local run"):
        beam.arguments("portable", ())


def test_a_wrong_option_is_refused_before_anything_is_looked_at(tmp_path):
    request = Request(data=(tmp_path / "no such data",), root=tmp_path / "root", beam="flink")
    with pytest.raises(BadInput, match="flink needs flink_master"):
        settings_and_paths(request)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("arguments", [["--beam", "flink", "--beam-option", "help"], ["--beam-option", "help"]])
def test_help_lists_the_options_with_an_example_each(arguments):
    answer = CliRunner().invoke(cli, ["run", *arguments])
    assert answer.exit_code == 0
    named = "flink" in arguments
    for engine in ENGINES.values():
        assert (f"--beam {engine.name}: " in answer.output) == (engine.name == "flink" or not named)
    for text in examples(ENGINES["flink"]):
        assert f"  {text}\n" in answer.output
    assert ("required" in answer.output) != named  # of flink either of two will do


def test_what_an_engine_lacks_is_one_line_and_exit_code_2(tmp_path):
    answer = mnist_tfx("run", "--beam", "spark", "--root", tmp_path / "root", "--json")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.error.startswith("--beam-option: spark needs job_endpoint or spark_rest_url")


@pytest.mark.parametrize("engine", ["flink", "spark"])
@pytest.mark.parametrize(("given", "optimized"), [([], "all"), (["experiments=a,pre_optimize=none"], "none")])
def test_a_cluster_reads_with_many_tasks_unless_told_otherwise(engine, given, optimized):
    from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions

    options = PipelineOptions(list(beam.arguments(engine, [*NEEDED[engine], *given]))).view_as(DebugOptions)
    assert options.lookup_experiment("pre_optimize") == optimized
    assert options.lookup_experiment("disable_logging_submission_environment")


def test_workers_on_spark_are_kept_between_stages_and_a_rest_address_means_one_jar():
    served = as_beam_reads(beam.arguments("spark", NEEDED["spark"]))
    assert (served["environment_cache_millis"], served["spark_submit_uber_jar"]) == ("60000", False)
    assert as_beam_reads(beam.arguments("spark", ["spark_rest_url=http://s:6066"]))["spark_submit_uber_jar"]


def test_a_small_flink_is_started_for_a_first_try():
    read = as_beam_reads(beam.arguments("flink", ["flink_master=[local]"]))
    assert (read["flink_version"], read["flink_submit_uber_jar"]) == ("1.20", False)
    assert (read["environment_type"], read["environment_config"]) == ("LOOPBACK", None)
    read = as_beam_reads(beam.arguments("flink", ["flink_master=[local]", "environment_config=localhost:50000"]))
    assert read["environment_type"] == "EXTERNAL"


def test_a_job_server_that_is_started_here_is_for_a_flink_with_batch():
    alone = beam.arguments("flink", [FLINK, "flink_submit_uber_jar=false"])
    assert as_beam_reads(alone)["flink_version"] == "1.20"
    told = beam.arguments("flink", [FLINK, "flink_submit_uber_jar=false", "flink_version=1.19"])
    assert as_beam_reads(told)["flink_version"] == "1.19"
    assert not any("flink_version" in one for one in beam.arguments("flink", ["job_endpoint=localhost:8099"]))


@pytest.mark.parametrize(
    ("split", "totals", "taken"),
    [
        (HashSplit(), {"train": 10, "test": 3}, 13),
        ("tail:2", {"train": 10, "test": 3}, 13),
        ("rows:4,2", {"train": 10}, 6),
        ("rows:9,2", {"train": 10}, 10),
    ],
)
def test_how_many_rows_get_a_split_is_known_before_they_are_read(split, totals, taken):
    assert Assignment(split=split, totals=totals).taken() == taken


def test_workers_that_write_where_nobody_else_sees_it_are_found_out(tmp_path):
    data = DataSettings(shape=(5, 4), pixel_max=9, label_count=10)
    unit = units.Unit(part="train", files=("/elsewhere/images",), rows=7, start=0)
    job = units.Job(units=(unit,), form="idx", settings=data.to_json(), plan=None, folder=str(tmp_path))
    (tmp_path / partial.PARTIAL).mkdir()
    with pytest.raises(EnvironmentProblem, match=f"no {tmp_path}/.*: workers on other machines must see"):
        artifact._complete(tmp_path, job, [])
    facts = {"split": "train", "shard": 0, "rows": 1, "size": 3, "name": "t", "index": ".partial/i", "profile": ""}
    (tmp_path / partial.PARTIAL / "shards.json").write_text(json.dumps([facts]))
    (tmp_path / "t").write_bytes(b"ab")
    with pytest.raises(EnvironmentProblem, match="wanted 3 bytes, got 2: workers on other machines must see"):
        artifact._complete(tmp_path, job, [])
    (tmp_path / "t").write_bytes(b"abc")
    (tmp_path / facts["index"]).write_bytes(b"\0" * INDEX.itemsize)
    with pytest.raises(EnvironmentProblem, match="wanted 7 rows, got 1: workers on other machines must see"):
        artifact._complete(tmp_path, job, [])


def test_a_runner_that_cannot_be_reached_is_not_mistaken_for_a_full_disk(tmp_path):
    def unreachable():
        raise ConnectionRefusedError(111, "Connection refused")

    job = units.Job(units=(), form="idx", settings="{}", plan=None, folder=str(tmp_path))
    with pytest.raises(EnvironmentProblem, match=r"Beam's runner failed: got .*Connection refused"):
        artifact._run(job, unreachable)


def test_the_job_service_listens_on_the_loopback_address_alone(monkeypatch):
    from pipeline.runner.beam.job_service_process import listen_on_loopback_only

    monkeypatch.setattr(grpc, "server", grpc.server)
    listen_on_loopback_only()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("[::]:0")
    server.start()
    try:
        reached = {host: _reached(host, port) for host in ("127.0.0.1", "127.0.0.2")}
    finally:
        server.stop(0)
    assert reached == {"127.0.0.1": True, "127.0.0.2": False}


def _reached(host, port):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


@pytest.mark.parametrize("name", ["direct", "flink", "spark"])
def test_an_engine_is_known_by_the_arguments_it_gave(name):
    given = ["flink_master=host:8081", "flink_version=1.19"] if name == "flink" else NEEDED.get(name, [])
    assert beam.engine_of(("--more", *beam.arguments(name, given))).name == name


def test_a_runner_that_is_not_in_the_table_is_no_engine():
    assert beam.engine_of(("--runner=Other",)) is None
    assert beam.engine_of(()) is None
