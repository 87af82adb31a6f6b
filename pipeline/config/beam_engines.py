"""The one table of Beam engines that can be asked for, and what each is told.

Neither Beam nor TFX is imported here, except to ask which Flink versions the installed Beam knows. The engine changes
where the work is done and not what comes out of it, so it is no part of a node's identity.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from components.errors import BadInput
from pipeline.config.beam_options import (
    ADDRESS,
    COUNT,
    COUNT_OR_ALL,
    FLAG,
    GCS,
    LIST,
    MILLISECONDS,
    TEXT,
    URL,
    VERSION,
    Form,
    Option,
    one_of,
)

DIRECT: Final = "direct"
PORTABLE: Final = "portable"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """One Beam runner.

    Attributes:
      name: as asked for.
      help: a line about it.
      fixed: arguments that it always gets.
      options: what else it takes.
      check: looks at all values together, and says what else Beam is to be told.
      google: whether the runner needs Google's clients, which a local run otherwise leaves out.
    """

    name: str
    help: str
    fixed: tuple[str, ...]
    options: tuple[Option, ...]
    check: Callable[[Mapping[str, str]], tuple[str, ...]] = lambda _: ()
    google: bool = False


def _flink_versions() -> Sequence[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Google's clients, about the interpreter's age
        from apache_beam.options.pipeline_options import FlinkRunnerOptions

    versions: Sequence[str] = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS
    return versions


def _workers_in_direct(values: Mapping[str, str]) -> tuple[str, ...]:
    workers = values.get("direct_num_workers", "1")
    if values.get("direct_running_mode", "in_memory") == "in_memory" and workers != "1":
        raise BadInput(
            "one worker is all that in_memory has",
            where="--beam-option direct_num_workers",
            got=workers,
            hint="add --beam-option direct_running_mode=multi_processing",
        )
    return ()


def _on_flink(values: Mapping[str, str]) -> tuple[str, ...]:
    """Choose the way to the cluster: one jar for its REST interface, or a job server, one that runs or one of our own."""
    master, endpoint = values.get("flink_master"), values.get("job_endpoint")
    if master is None and endpoint is None:
        raise BadInput(
            "flink needs flink_master or job_endpoint",
            where="--beam-option",
            wanted="the REST address of the job manager, or the address of a job server of Beam's",
            hint="such as --beam-option flink_master=http://flink:8081",
        )
    uber_jar = values.get("flink_submit_uber_jar")
    if uber_jar == "true" and (endpoint or master == LOCAL_FLINK):
        raise BadInput(
            "a jar is uploaded to a cluster's REST interface alone",
            where="--beam-option flink_submit_uber_jar",
            wanted="false, or neither job_endpoint nor flink_master=[local]",
            got=uber_jar,
        )
    if endpoint:
        return _on_cluster(values)
    if master != LOCAL_FLINK and uber_jar != "false":
        return ("--flink_submit_uber_jar", *_on_cluster(values))
    # Beam's default is its newest, 2.0, which has no batch translation: whole groups stay in memory.
    version = () if {"flink_version", "flink_job_server_jar"} & values.keys() else (f"--flink_version={FLINK_VERSION}",)
    return (*version, *_on_cluster(values))


def _on_spark(values: Mapping[str, str]) -> tuple[str, ...]:
    """Choose the way to the cluster: a job server that runs, or one jar for its REST interface."""
    rest, endpoint = values.get("spark_rest_url"), values.get("job_endpoint")
    if (rest is None) == (endpoint is None):
        raise BadInput(
            "spark needs job_endpoint or spark_rest_url" if rest is None else "there are two ways to the cluster",
            where="--beam-option",
            wanted="job_endpoint, the address of a job server of Beam's, or spark_rest_url, that of the master",
            hint="such as --beam-option job_endpoint=localhost:8099",
        )
    return (*(("--spark_submit_uber_jar",) if rest else ()), *_on_cluster(values))


def _on_cluster(values: Mapping[str, str]) -> tuple[str, ...]:
    # After those that were given, of which Beam takes the first of a name.
    given = values.get("experiments", "").split(",")
    names = [one.partition("=")[0] for one in given]
    more = [one for one in EXPERIMENTS if one.partition("=")[0] not in names]
    return (*(f"--experiments={one}" for one in more), *_environment(values))


def _environment(values: Mapping[str, str]) -> tuple[str, ...]:
    """Where our code runs: in a pool that waits for a cluster, in containers of an image, or in the run itself."""
    image, address = values.get("sdk_container_image"), values.get("environment_config")
    local = values.get("flink_master") == LOCAL_FLINK and address is None
    kind = values.get("environment_type", "LOOPBACK" if local else "EXTERNAL")
    # Without any image TFX packs its sources for every job, which workers then try to install from the network.
    named = () if image else (UNUSED_IMAGE,)
    if kind == "EXTERNAL":
        config = () if address else (f"--environment_config={SIDECAR}",)
        return (*_said(values, kind), *named, *config)
    if kind == "LOOPBACK":
        if address is not None:
            raise BadInput(
                "workers within the run have no address",
                where="--beam-option environment_type=LOOPBACK",
                wanted="no environment_config",
                got=address,
            )
        return (*_said(values, kind), *named)
    if image is None or address is not None:
        raise BadInput(
            "containers are started from an image and have no address",
            where="--beam-option environment_type=DOCKER",
            wanted="sdk_container_image and no environment_config",
            hint=f"such as sdk_container_image={IMAGE.example}",
        )
    return (f"--environment_config={image}",)


def _said(values: Mapping[str, str], kind: str) -> tuple[str, ...]:
    return () if "environment_type" in values else (f"--environment_type={kind}",)


LOCAL_FLINK: Final = "[local]"
"""Flink's own name of a cluster within the job server: its real runtime, for a first try."""

FLINK_VERSION: Final = "1.20"
"""What a job server that Beam starts is for, where nothing is said."""

EXPERIMENTS: Final = ("pre_optimize=all", "disable_logging_submission_environment")
"""What every job on a cluster gets: files are read by as many tasks as there are slots instead of one, and no node lists
the installed packages first, which takes seconds."""

UNUSED_IMAGE: Final = "--sdk_container_image=unused"
"""Any Beam argument makes every Beam node pack TFX's sources (1.2 s), unless an image is named."""

SIDECAR: Final = "localhost:50000"
"""Where a worker pool beside each task manager listens by custom."""

WAIT: Final = "wait_for_workers_s"
MASTER_PAGE: Final = "spark_master_page"
"""Options that our runners read."""

BATCH_MODE: Final = "execution_mode_for_batch"
STORAGE: Final = "storage_level"
"""Options that Beam's Java has and its Python does not; our runners pass them on."""

WAIT_S: Final = "180"
"""A cluster that starts its workers on demand takes a minute or two."""

IMAGE: Final = Option(
    name="sdk_container_image",
    help="image of the workers, with this project installed",
    form=TEXT,
    example="registry.example/mnist-tfx:1",
)
ON_CLUSTER: Final = (
    Option(
        name="environment_type",
        help="EXTERNAL, where nothing is said, asks a worker pool for workers, DOCKER starts containers; "
        "LOOPBACK takes threads of the run, for a cluster on this machine, and is what [local] means",
        form=one_of("EXTERNAL", "DOCKER", "LOOPBACK"),
        example="EXTERNAL",
    ),
    Option(
        name="environment_config",
        help=f"address of the worker pool; {SIDECAR}, a sidecar, where nothing is said",
        form=ADDRESS,
        example=SIDECAR,
    ),
    IMAGE,
    Option(
        name="job_endpoint",
        help="address of a job server of Beam's that runs beside the cluster",
        form=ADDRESS,
        example="localhost:8099",
    ),
    Option(
        name=WAIT,
        help="how long a job may wait for a worker of the cluster, in seconds, before it is cancelled",
        form=COUNT,
        example=WAIT_S,
        default=WAIT_S,
        own=True,
    ),
    Option(
        name="sdk_worker_parallelism",
        help="worker processes of a task manager or executor; one where nothing is said",
        form=COUNT_OR_ALL,
        example="2",
    ),
    Option(
        name="experiments",
        help=f"passed on to Beam besides {' and '.join(EXPERIMENTS)}",
        form=LIST,
        example="enable_data_sampling",
    ),
)
CACHE: Final = Option(
    name="environment_cache_millis",
    help="how long a worker is kept between two stages of a job; Beam keeps none where nothing is said",
    form=MILLISECONDS,
    example="60000",
)

ENGINES: Final[Mapping[str, Engine]] = {
    engine.name: engine
    for engine in (
        Engine(
            name=DIRECT,
            help="Beam's FnApiRunner on this machine.",
            # By its full name: an unset runner tries Prism first, which downloads a binary (Beam 2.68 and later).
            fixed=("--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", UNUSED_IMAGE),
            options=(
                Option(
                    name="direct_running_mode",
                    help="where the work is done; in_memory where nothing is said",
                    form=one_of("in_memory", "multi_threading", "multi_processing"),
                    example="multi_processing",
                ),
                Option(
                    name="direct_num_workers",
                    help="how many workers; one where nothing is said",
                    form=COUNT_OR_ALL,
                    example="4",
                ),
            ),
            check=_workers_in_direct,
        ),
        Engine(
            name=PORTABLE,
            help="Beam's job service and a pool of worker processes, started for the run: a cluster on this machine.",
            fixed=("--runner=PortableRunner", "--environment_type=EXTERNAL", UNUSED_IMAGE),
            options=(),
        ),
        Engine(
            name="flink",
            help="A Flink cluster; its workers must see the root under the same path.",
            fixed=("--runner=pipeline.runner.beam.cluster.FlinkRunner",),
            options=(
                Option(
                    name="flink_master",
                    help=f"REST address of the job manager; {LOCAL_FLINK} starts a small cluster for each node here",
                    form=Form(f"http://host:port or {LOCAL_FLINK}", rf"{URL.pattern}|\[local\]"),
                    example="http://flink:8081",
                ),
                Option(
                    name="flink_version",
                    help=f"of the cluster; asked of it, or {FLINK_VERSION} for a job server that is started here",
                    form=VERSION,
                    example=FLINK_VERSION,
                    known=_flink_versions,
                ),
                Option(
                    name="flink_submit_uber_jar",
                    help="upload one jar to the master, as where nothing is said; false starts a job server here",
                    form=FLAG,
                    example="true",
                ),
                Option(
                    name="flink_job_server_jar",
                    help="path or URL of Beam's jar for this Flink; Beam fetches it from Maven where nothing is said",
                    form=TEXT,
                    example="/opt/beam-runners-flink-1.20-job-server.jar",
                ),
                Option(
                    name="parallelism",
                    help="of every operation; the cluster's own where nothing is said",
                    form=COUNT,
                    example="4",
                ),
                Option(
                    name=BATCH_MODE,
                    help="BATCH_FORCED for a cluster on which branches of a job wait for each other",
                    form=one_of("PIPELINED", "PIPELINED_FORCED", "BATCH", "BATCH_FORCED"),
                    example="BATCH_FORCED",
                    own=True,
                ),
                CACHE,
                *ON_CLUSTER,
            ),
            check=_on_flink,
        ),
        Engine(
            name="spark",
            help="A Spark cluster; its workers must see the root under the same path.",
            fixed=("--runner=pipeline.runner.beam.cluster.SparkRunner",),
            options=(
                Option(
                    name="spark_rest_url",
                    help="REST address of the master, instead of job_endpoint: one jar is submitted to it",
                    form=URL,
                    example="http://spark:6066",
                ),
                Option(
                    name=MASTER_PAGE,
                    help="address of the master's page, which tells whether there are workers",
                    form=URL,
                    example="http://spark:8080",
                    own=True,
                ),
                Option(name="spark_version", help="of the cluster", form=one_of("3"), example="3", default="3"),
                Option(
                    name="spark_job_server_jar",
                    help="path or URL of Beam's jar for Spark; Beam fetches it from Maven where nothing is said",
                    form=TEXT,
                    example="/opt/beam-runners-spark-3-job-server.jar",
                ),
                Option(
                    name=STORAGE,
                    help="where what two stages need is kept; memory alone where nothing is said, and what does not fit "
                    "is computed again",
                    form=one_of("MEMORY_ONLY", "MEMORY_AND_DISK", "DISK_ONLY"),
                    example="MEMORY_AND_DISK",
                    own=True,
                ),
                # Without it every stage starts workers that import TensorFlow: 200 s instead of 28 s in StatisticsGen.
                dataclasses.replace(
                    CACHE, default="60000", help="how long a worker is kept between two stages of a job"
                ),
                *ON_CLUSTER,
            ),
            check=_on_spark,
        ),
        Engine(
            name="dataflow",
            help="Google Cloud Dataflow; its workers must see the root under the same path, say, as a mounted bucket.",
            fixed=("--runner=DataflowRunner", "--experiments=use_runner_v2"),
            google=True,
            options=(
                Option(name="project", help="that pays", form=TEXT, example="my-project", required=True),
                Option(name="region", help="of the workers", form=TEXT, example="europe-west4", required=True),
                Option(
                    name="temp_location",
                    help="for Dataflow's own files",
                    form=GCS,
                    example="gs://my-bucket/tmp",
                    required=True,
                ),
                dataclasses.replace(IMAGE, required=True),
                Option(name="machine_type", help="of a worker", form=TEXT, example="e2-standard-8"),
                Option(name="disk_size_gb", help="of a worker", form=COUNT, example="50"),
                Option(name="num_workers", help="to begin with", form=COUNT, example="2"),
                Option(name="max_num_workers", help="at most", form=COUNT, example="8"),
                Option(name="experiments", help="besides use_runner_v2", form=LIST, example="enable_data_sampling"),
                Option(
                    name="service_account_email",
                    help="whom workers act for",
                    form=Form("an account", r"[^\s@]+@[^\s@]+"),
                    example="beam@my-project.iam.gserviceaccount.com",
                ),
                Option(
                    name="subnetwork", help="of the workers", form=TEXT, example="regions/europe-west4/subnetworks/s"
                ),
                Option(name="no_use_public_ips", help="workers without public addresses", form=FLAG, example="true"),
            ),
        ),
    )
}
