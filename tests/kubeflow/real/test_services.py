"""What stands in for a cluster's services answers as driver and launcher need it."""

import subprocess
import sys
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from kubeflow.real import cluster, node, stand_ins
from kubeflow.real.task_cache import TaskCache, messages

ASKS = """
import json, ssl, sys, urllib.error, urllib.request
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

trust = ssl.create_default_context(cafile=sys.argv[1])

def asked(path, method="GET"):
    request = urllib.request.Request("https://127.0.0.1:6443/api/v1/namespaces/kubeflow/" + path, method=method)
    try:
        with urllib.request.urlopen(request, context=trust) as answer:
            return answer.status, sorted(json.load(answer).get("data", {}))
    except urllib.error.HTTPError as err:
        return err.code, json.load(err)["kind"]

config = metadata_store_pb2.MetadataStoreClientConfig(host="127.0.0.1", port=8080)
store = metadata_store.MetadataStore(config)
store.put_context_type(metadata_store_pb2.ContextType(name="a type"))
print(asked("secrets/mlpipeline-minio-artifact"), asked("configmaps/kfp-launcher"), asked("pods/p", "PATCH"))
print([one.name for one in store.get_context_types()])
"""


@pytest.mark.skipif(not node.HAS_NAMESPACES, reason=node.NEEDS)
def test_a_cluster_has_a_bucket_metadata_and_three_objects_of_kubernetes(tmp_path: Path) -> None:
    with cluster.started(tmp_path / "cluster", stand_ins.write(tmp_path / "kfp")) as started:
        certificate = str(started.folder / "ca.crt")
        done = subprocess.run(
            [*started.network, sys.executable, "-c", ASKS, certificate], capture_output=True, text=True, check=False
        )
        started.copy_bucket("m/", tmp_path / "copy")
    assert done.stdout.splitlines() == [
        "(200, ['accesskey', 'secretkey']) (404, 'Status') (405, 'Status')",
        "['a type']",
    ], done.stderr


def test_the_newest_task_of_a_fingerprint_answers_and_a_cache_that_is_away_keeps_nothing(tmp_path: Path) -> None:
    kinds = messages()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    server.add_generic_rpc_handlers((TaskCache(tmp_path / "away").handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        create = channel.unary_unary("/api.TaskService/CreateTaskV1", kinds["CreateTaskRequest"].SerializeToString)
        tasks = channel.unary_unary(
            "/api.TaskService/ListTasksV1",
            kinds["ListTasksRequest"].SerializeToString,
            kinds["ListTasksResponse"].FromString,
        )
        for execution, fingerprint in (("1", "a"), ("2", "b"), ("3", "a")):
            create(kinds["CreateTaskRequest"](task={"mlmdExecutionID": execution, "fingerprint": fingerprint}))
        (tmp_path / "away").touch()
        with pytest.raises(grpc.RpcError):
            create(kinds["CreateTaskRequest"](task={"mlmdExecutionID": "4", "fingerprint": "a"}))
        asked = '{"predicates": [{"op": "EQUALS", "key": "fingerprint", "stringValue": "a"}]}'
        answer = tasks(kinds["ListTasksRequest"](filter=asked, page_size=1))
    server.stop(grace=None).wait()
    assert [one.mlmdExecutionID for one in answer.tasks] == ["3"]
