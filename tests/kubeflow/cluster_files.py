"""Small compiled files, and models of runs, for what talks to a server."""

import datetime
from pathlib import Path
from typing import Any

import kfp_server_api
import yaml

PARAMETERS = {
    "source": {"parameterType": "STRING", "defaultValue": "embedded"},
    "seed": {"parameterType": "NUMBER_INTEGER", "defaultValue": 1},
    "rate": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.5},
    "fast": {"parameterType": "BOOLEAN", "defaultValue": True},
    "sizes": {"parameterType": "LIST", "defaultValue": [1]},
    "more": {"parameterType": "STRUCT", "defaultValue": {}},
}


def spec(**changes: Any) -> dict[str, Any]:
    """Returns a PipelineSpec of one task."""
    container = {"image": "reg.example/i@sha256:" + "0" * 64, "command": ["true"]}
    return {
        "pipelineInfo": {"name": "digits"},
        "schemaVersion": "2.1.0",
        "sdkVersion": "tfx-1.16.0",
        "defaultPipelineRoot": "minio://mlpipeline/m",
        "components": {"Work": {"executorLabel": "work"}},
        "deploymentSpec": {"executors": {"work": {"container": container}}},
        "root": {
            "dag": {"tasks": {"Work": {"taskInfo": {"name": "Work"}, "componentRef": {"name": "Work"}}}},
            "inputDefinitions": {"parameters": PARAMETERS},
        },
        **changes,
    }


def compiled(folder: Path, *more: dict[str, Any], comment: str = "", **changes: Any) -> Path:
    """Writes a compiled file and returns its path; it needs no suffix that kfp knows."""
    path = folder / "compiled.txt"
    path.write_text(comment + yaml.safe_dump_all([spec(**changes), *more]))
    return path


def with_data(folder: Path, uri: dict[str, str]) -> Path:
    """Writes a compiled file whose importer has the launcher fetch data from there."""
    root = spec()["root"]
    root["dag"]["tasks"]["Data"] = {"taskInfo": {"name": "Data"}, "componentRef": {"name": "Data"}}
    executors = {"data": {"importer": {"artifactUri": uri}}}
    components = {"Data": {"executorLabel": "data"}}
    return compiled(folder, root=root, components=components, deploymentSpec={"executors": executors})


def run(name: str, state: str = "SUCCEEDED", minutes: int = 0, **fields: Any) -> kfp_server_api.V2beta1Run:
    """Returns a run that was created so many minutes after midnight and took 90 seconds."""
    created = datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    finished = created + datetime.timedelta(seconds=90)
    return kfp_server_api.V2beta1Run(display_name=name, state=state, created_at=created, finished_at=finished, **fields)
