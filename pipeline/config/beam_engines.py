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


def _environment(values: Mapping[str, str]) -> tuple[str, ...]:
    """Where a cluster's workers run our code: in a pool that waits for them, or in containers of an image."""
    image, address = values.get("sdk_container_image"), values.get("environment_config")
    if values["environment_type"] == "EXTERNAL":
        # Without any image TFX packs its sources for every job, which workers then try to install from the network.
        named = () if image else (UNUSED_IMAGE,)
        return (*named, *(() if address else (f"--environment_config={SIDECAR}",)))
    if image is None or address is not None:
        raise BadInput(
            "containers are started from an image and have no address",
            where="--beam-option environment_type=DOCKER",
            wanted="sdk_container_image and no environment_config",
            hint=f"such as sdk_container_image={IMAGE.example}",
        )
    return (f"--environment_config={image}",)


UNUSED_IMAGE: Final = "--sdk_container_image=unused"
"""Any Beam argument makes every Beam node pack TFX's sources (1.2 s), unless an image is named."""

SIDECAR: Final = "localhost:50000"
"""Where a worker pool beside each task manager listens by custom."""

IMAGE: Final = Option(
    name="sdk_container_image",
    help="image of the workers, with this project installed",
    form=TEXT,
    example="registry.example/mnist-tfx:1",
)
ON_CLUSTER: Final = (
    Option(
        name="environment_type",
        help="EXTERNAL asks a worker pool for workers, DOCKER starts containers",
        form=one_of("EXTERNAL", "DOCKER"),
        example="EXTERNAL",
        default="EXTERNAL",
    ),
    Option(
        name="environment_config",
        help=f"address of the worker pool; {SIDECAR}, a sidecar, where nothing is said",
        form=ADDRESS,
        example=SIDECAR,
    ),
    IMAGE,
    Option(name="experiments", help="passed on to Beam", form=LIST, example="pre_optimize=all"),
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
            fixed=("--runner=FlinkRunner",),
            options=(
                Option(
                    name="flink_master",
                    help="REST address of the job manager",
                    form=URL,
                    example="http://flink:8081",
                    required=True,
                ),
                Option(
                    name="flink_version", help="of the cluster", form=VERSION, example="1.20", known=_flink_versions
                ),
                Option(
                    name="flink_submit_uber_jar",
                    help="upload one jar to the master, instead of starting a job server here",
                    form=FLAG,
                    example="true",
                    default="true",
                ),
                Option(
                    name="flink_job_server_jar",
                    help="path or URL of Beam's jar for this Flink; Beam fetches it from Maven where nothing is said",
                    form=TEXT,
                    example="/opt/beam-runners-flink-1.20-job-server.jar",
                ),
                Option(name="parallelism", help="of every operation", form=COUNT, example="4"),
                *ON_CLUSTER,
            ),
            check=_environment,
        ),
        Engine(
            name="spark",
            help="A Spark cluster; its workers must see the root under the same path.",
            fixed=("--runner=SparkRunner", "--spark_submit_uber_jar"),
            options=(
                Option(
                    name="spark_rest_url",
                    help="REST address of the master",
                    form=URL,
                    example="http://spark:6066",
                    required=True,
                ),
                Option(name="spark_version", help="of the cluster", form=one_of("3"), example="3", default="3"),
                Option(
                    name="spark_job_server_jar",
                    help="path or URL of Beam's jar for Spark; Beam fetches it from Maven where nothing is said",
                    form=TEXT,
                    example="/opt/beam-runners-spark-3-job-server.jar",
                ),
                *ON_CLUSTER,
            ),
            check=_environment,
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
