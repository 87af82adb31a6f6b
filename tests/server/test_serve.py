"""`mnist-tfx serve`: TensorFlow Serving's own interfaces, over verified versions only."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from command_line import in_process
from server import tiny_root
from server.running_server import connect, raw, serving
from server.tiny_root import KINDS, TinyRoot

from components.serving import PROVENANCE

PIXELS = 64
BLANK = [0] * PIXELS
TINY = [0] * tiny_root.PIXELS
EXAMPLES = "serving_examples"


@pytest.fixture(scope="module")
def served_root(first_run, tmp_path_factory):
    root = tmp_path_factory.mktemp("serve") / "root"
    shutil.copytree(first_run[0], root, symlinks=True)
    return root


@pytest.fixture(scope="module")
def server(served_root, tmp_path_factory):
    with serving(served_root, folder=tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def model(served_root):
    import tensorflow as tf

    return tf.saved_model.load(str(served_root / "serving" / "1"))


def expected(model, images, name="serving_default"):
    import tensorflow as tf

    return {key: value.numpy() for key, value in model.signatures[name](images=tf.constant(images, tf.uint8)).items()}


def some_images(rows, seed=0):
    return np.random.default_rng(seed).integers(0, 17, (rows, PIXELS)).tolist()


# --- predictions over REST ---


def test_rows_are_answered_by_rows_and_as_the_saved_model_answers(server, model):
    images = some_images(5)
    status, body, headers = server.post({"instances": images})
    wanted = expected(model, images)
    assert status == 200
    assert [one["classes"] for one in body["predictions"]] == wanted["classes"].tolist()
    np.testing.assert_allclose(
        [one["probabilities"] for one in body["predictions"]], wanted["probabilities"], atol=1e-5
    )
    assert headers["X-Model-Version"] == "1"
    assert len(headers["X-Model-Digest"]) == 64


def test_columns_are_answered_by_columns(server, model):
    images = some_images(3)
    for inputs in (images, {"images": images}):
        status, body, _ = server.post({"inputs": inputs})
        assert status == 200
        assert body["outputs"]["classes"] == expected(model, images)["classes"].tolist()


def test_an_output_that_is_alone_goes_by_no_name(server):
    status, body, _ = server.post({"signature_name": "reconstruct", "instances": [BLANK]})
    assert (status, list(body), len(body["predictions"][0])) == (200, ["predictions"], PIXELS)


def test_a_signature_is_chosen_by_name_and_version_by_path(server):
    square = [np.reshape(BLANK, (8, 8)).tolist()]
    assert server.post({"signature_name": "serving_images", "instances": square})[0] == 200
    assert server.post({"instances": [BLANK]}, path="/versions/1:predict")[0] == 200


def test_serialised_examples_are_given_as_base64(server, model):
    import base64

    import tensorflow as tf

    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=BLANK))
    example = tf.train.Example(features=tf.train.Features(feature={"image": feature})).SerializeToString()
    encoded = {"b64": base64.b64encode(example).decode()}
    status, body, _ = server.post({"signature_name": "serving_examples", "instances": [encoded, encoded]})
    assert status == 200
    assert [one["classes"] for one in body["predictions"]] == expected(model, [BLANK, BLANK])["classes"].tolist()


@pytest.mark.parametrize(
    ("body", "path", "status", "message"),
    [
        (b"", ":predict", 400, "JSON Parse error: The document is empty"),
        (b"{", ":predict", 400, "JSON Parse error"),
        (b"[]", ":predict", 400, "Is not object"),
        (b"[" * 100_000, ":predict", 400, "JSON Parse error"),
        ({}, ":predict", 400, "Missing 'inputs' or 'instances' key"),
        ({"inputs": [BLANK], "instances": [BLANK]}, ":predict", 400, "only one of 'inputs' or 'instances'"),
        ({"instances": {}}, ":predict", 400, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, ":predict", 400, "No values in 'instances' array"),
        ({"instances": [BLANK], "signature_name": 1}, ":predict", 400, "'signature_name' key must be a string value"),
        ({"instances": [BLANK], "signature_name": "other"}, ":predict", 400, "not found in signature def"),
        ({"instances": [[0.5] * PIXELS]}, ":predict", 400, "is not of expected type: uint8"),
        ({"instances": [["a"] * PIXELS]}, ":predict", 400, "is not of expected type: uint8"),
        ({"instances": [[True] * PIXELS]}, ":predict", 400, "is not of expected type: uint8"),
        ({"instances": [[True, *BLANK[1:]]]}, ":predict", 400, "is not of expected type: uint8"),
        ({"instances": [[{}]]}, ":predict", 400, "is not of expected type: uint8"),
        ({"instances": [[]]}, ":predict", 400, "has shape [1, 0], expected [None, 64]"),
        (b'{"instances": ' + b"[" * 900 + b"0" + b"]" * 900 + b"}", ":predict", 400, "more than 32 lists"),
        ({"signature_name": EXAMPLES, "instances": ["a", ["b"]]}, ":predict", 400, "different sizes"),
        ({"signature_name": EXAMPLES, "instances": [["a"], ["b", "c"]]}, ":predict", 400, "different sizes"),
        ({"signature_name": EXAMPLES, "instances": ["\ud800"]}, ":predict", 400, "valid Unicode"),
        (
            b'{"signature_name": "serving_examples", "instances": ' + b"[" * 900 + b'"a"' + b"]" * 900 + b"}",
            ":predict",
            400,
            "more than 32 lists",
        ),
        ({"instances": [BLANK], "signature_name": "x" * 9999}, ":predict", 400, "more characters"),
        ({"instances": [[256] * PIXELS]}, ":predict", 400, "256 is not of expected type: uint8, from 0 to 255"),
        ({"instances": [[-1] * PIXELS]}, ":predict", 400, "-1 is not of expected type: uint8, from 0 to 255"),
        ({"instances": [BLANK, [0]]}, ":predict", 400, "different sizes"),
        ({"instances": [[0]]}, ":predict", 400, "expected [None, 64]"),
        ({"instances": [{"image": BLANK}]}, ":predict", 400, "keys must be equal to: images"),
        ({"inputs": {"image": [BLANK]}}, ":predict", 400, "Missing named input: images in 'inputs' object"),
        ({"signature_name": "serving_examples", "instances": [{"b64": "!"}]}, ":predict", 400, "base64"),
        ({"signature_name": "serving_examples", "instances": [{"b64": "AAAA"}]}, ":predict", 400, "Could not parse"),
        ({"instances": [BLANK]}, "/versions/7:predict", 404, "Servable not found for request: Specific(digits, 7)"),
        ({"instances": [BLANK]}, "/versions/99999999999999999999:predict", 400, "Failed to convert version"),
        ({"instances": [BLANK]}, "/labels/canary:predict", 400, "Unrecognized servable version label: canary"),
        ({"instances": [BLANK]}, "x:predict", 404, "Servable not found for request: Latest(digitsx)"),
        ({"instances": [BLANK]}, ":classify", 400, "method_name to be tensorflow/serving/classify"),
        ({"instances": [BLANK]}, ":foo", 404, "Malformed request: POST"),
        ({"instances": [BLANK] * 5000}, ":predict", 400, "at most 4096"),
    ],
    ids=lambda value: str(value)[:60] if not isinstance(value, bytes) else "bytes",
)
def test_a_request_that_cannot_be_answered_gets_the_documented_error(server, body, path, status, message):
    found, answer, _ = server.post(body, path)
    assert (found, list(answer)) == (status, ["error"])
    assert message in answer["error"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server):
    import http.client
    import urllib.parse

    address = urllib.parse.urlsplit(server.rest)
    connection = http.client.HTTPConnection(address.netloc, timeout=30)
    connection.putrequest("POST", f"{address.path}:predict")
    connection.putheader("Content-Length", str(17 << 20))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, "larger than" in answer.read().decode()) == (413, True)


@pytest.mark.parametrize("path", [b"%2564igits", b"digits%0a"], ids=repr)
def test_a_path_is_decoded_once_and_whole(server, path):
    assert raw(server, b"GET /v1/models/" + path + b" HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 404 ")


def test_a_method_that_a_resource_does_not_have_is_answered_with_the_one_it_has(server):
    answer = raw(server, b"PUT /v1/models/digits:predict HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"allow: POST\r\n" in answer


UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"


def test_what_is_not_http_or_wants_to_be_more_neither_fails_nor_fills_the_log(server):
    assert raw(server, b"\x16\x03\x01\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(server, b"GET /v1/models/digits HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n").startswith(
        b"HTTP/1.1 200 "
    )
    assert raw(server, b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 20)).startswith(b"HTTP/1.1 400 ")
    assert "Invalid HTTP" not in server.said
    assert "Traceback" not in server.said
    assert "cannot answer" not in server.said


def test_connections_that_ask_nothing_leave_descriptors_for_what_is_asked(first_run, tmp_path):
    import contextlib
    import resource

    few = (256, 256)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(first_run[0], folder=tmp_path))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, few)
        for _ in range(min(400, before[0] // 2)):
            stack.enter_context(connect(server))
        # Refused at once, and not left to wait; whoever is connected already is answered.
        assert raw(server, b"GET /v1/models/digits HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        assert "Traceback" not in server.said
        server.process.kill()


# --- status and metadata ---


def test_the_status_is_that_of_the_documentation(server):
    status = {"error_code": "OK", "error_message": ""}
    wanted = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]}
    assert server.get()[:2] == (200, wanted)
    assert server.get("/versions/1")[:2] == (200, wanted)
    assert server.get("/versions/2")[0] == 404
    assert server.get("x")[1] == {"error": "Could not find any versions of model digitsx"}


def test_the_metadata_declare_each_signature(server):
    status, body, _ = server.get("/metadata")
    assert status == 200
    assert body["model_spec"] == {"name": "digits", "signature_name": "", "version": "1"}
    declared = body["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert declared["method_name"] == "tensorflow/serving/predict"
    assert declared["inputs"]["images"]["dtype"] == "DT_UINT8"
    assert [one["size"] for one in declared["inputs"]["images"]["tensor_shape"]["dim"]] == ["-1", "64"]


def test_requests_are_counted_for_prometheus(server):
    import urllib.request

    server.post({"instances": [BLANK]})
    page = urllib.request.urlopen(server.rest.split("/v1/")[0] + "/metrics").read().decode()
    assert 'mnist_tfx_requests_total{code="OK",method="predict",protocol="rest"}' in page
    assert 'mnist_tfx_served_version{digest="' in page


# --- gRPC, by TensorFlow Serving's own stubs ---


@pytest.fixture(scope="module")
def channel(server):
    import grpc

    with grpc.insecure_channel(server.grpc) as opened:
        yield opened


def predict_request(images, **spec):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.pop("name", "digits")
    request.model_spec.signature_name = spec.pop("signature", "")
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(np.array(images, spec.get("dtype", np.uint8))))
    return request


def test_the_stubs_of_tensorflow_serving_get_predictions(channel, model):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    images = some_images(4)
    response, call = stub.Predict.with_call(predict_request(images), 10.0)
    wanted = expected(model, images)
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    assert tf.make_ndarray(response.outputs["classes"]).tolist() == wanted["classes"].tolist()
    assert dict(call.initial_metadata())["x-model-version"] == "1"
    request = predict_request(images)
    request.output_filter.append("classes")
    assert list(stub.Predict(request, 10.0).outputs) == ["classes"]


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"name": "other"}, "NOT_FOUND"),
        ({"version": 9}, "NOT_FOUND"),
        ({"signature": "other"}, "INVALID_ARGUMENT"),
        ({"dtype": np.int64}, "INVALID_ARGUMENT"),
        ({"name": ""}, "INVALID_ARGUMENT"),
    ],
    ids=str,
)
def test_what_cannot_be_answered_has_the_canonical_code(channel, spec, code):
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with pytest.raises(grpc.RpcError) as failed:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(predict_request([BLANK], **spec), 10.0)
    assert failed.value.code().name == code


def uint8(shape, **values):
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2

    sizes = [tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in shape]
    return tensor_pb2.TensorProto(
        dtype=values.pop("dtype", types_pb2.DT_UINT8),
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=sizes),
        **values,
    )


@pytest.mark.parametrize(
    ("name", "proto"),
    [
        ("images", {"shape": [1 << 50], "int_val": [1]}),
        ("images", {"shape": [1 << 62, 1 << 62], "int_val": [1]}),
        ("images", {"shape": [-1, 64], "tensor_content": bytes(64)}),
        ("images", {"shape": [1, 64], "int_val": [300]}),
        ("images", {"shape": [1, 64], "int_val": [-1]}),
        ("images", {"shape": [1, 64], "dtype": 20}),
        ("images", {"shape": [1, 64], "dtype": 0}),
        ("x" * 100_000, {"shape": [1, 64]}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_tensor_that_is_no_input_is_the_clients_fault(channel, name, proto):
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    request = predict_request([BLANK])
    request.inputs[name].CopyFrom(uint8(**proto))
    with pytest.raises(grpc.RpcError) as failed:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 10.0)
    assert failed.value.code().name == "INVALID_ARGUMENT"


def test_a_message_that_quotes_what_was_sent_fits_among_the_headers_of_grpc(channel):
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with pytest.raises(grpc.RpcError) as failed:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(
            predict_request([BLANK], signature="x" * 100_000), 10.0
        )
    assert (failed.value.code().name, len(failed.value.details()) < 1000) == ("INVALID_ARGUMENT", True)


def test_the_model_service_and_the_metadata_answer_too(channel):
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_service_pb2_grpc,
        prediction_service_pb2_grpc,
    )

    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "digits"
    (one,) = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(status, 10.0).model_version_status
    assert (one.version, one.State.Name(one.state), one.status.error_code) == (1, "AVAILABLE", 0)
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "digits"
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(metadata, 10.0)
    declared = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(declared)
    assert "serving_default" in declared.signature_def


@pytest.mark.slow
def test_both_protocols_answer_as_tensorflows_own_command_does(server, channel, served_root, tmp_path):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    images = some_images(7)
    wanted = saved_model_cli(served_root / "serving" / "1", images, tmp_path)
    _, body, _ = server.post({"inputs": images})
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.Predict(predict_request(images), 10.0)
    assert body["outputs"].keys() == response.outputs.keys() == wanted.keys()
    for name, value in wanted.items():
        rest, grpc = np.array(body["outputs"][name]), tf.make_ndarray(response.outputs[name])
        if value.dtype == object:  # bytes, which JSON has as text
            assert np.char.encode(rest).tolist() == grpc.tolist() == value.tolist()
        else:
            np.testing.assert_allclose(rest, value, rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(grpc, value, rtol=1e-6, atol=1e-7)


def saved_model_cli(model, images, folder):
    """Returns {output: array}, which `saved_model_cli run` leaves as files."""
    np.save(folder / "images.npy", np.array(images, np.uint8))
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "run", "--dir", model]
    command += ["--tag_set", "serve", "--signature_def", "serving_default", "--inputs", f"images={folder}/images.npy"]
    subprocess.run([*command, "--outdir", folder / "outputs"], check=True, capture_output=True)
    return {path.stem: np.load(path, allow_pickle=True) for path in (folder / "outputs").iterdir()}


def test_more_grpc_connections_than_requests_at_a_time_are_closed(first_run, tmp_path):
    import contextlib
    import socket

    with serving(first_run[0], "--max-concurrency", "4", folder=tmp_path) as server, contextlib.ExitStack() as stack:
        host, port = server.grpc.split(":")
        opened = [stack.enter_context(socket.create_connection((host, int(port)), timeout=30)) for _ in range(8)]
        # HTTP/2 greets whom it lets in.
        assert [bool(received(one)) for one in opened] == [True] * 4 + [False] * 4


def received(connection):
    try:
        return connection.recv(9)
    except ConnectionError:
        return b""


# --- only what was pushed is loaded ---


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A root of tiny models, whose pushes take milliseconds, and a server over it."""
    folder = tmp_path_factory.mktemp("watched")
    root = TinyRoot(folder / "root")
    for kind in KINDS[:2]:
        root.push(kind)
    options = ("--model-name", "tiny", "--latest", "2", "--label", "first=1")
    with serving(root.paths.root, *options, folder=folder) as server:
        yield root, server


def change_model(version):
    path = version / "saved_model.pb"
    path.write_bytes(path.read_bytes() + b"\0")


def add_file(version):
    (version / "assets").mkdir(exist_ok=True)
    (version / "assets" / "more").write_text("more")


def put_link(version):
    path = version / "saved_model.pb"
    path.rename(version.parent.parent / f"elsewhere-{version.name}")
    path.symlink_to(version.parent.parent / f"elsewhere-{version.name}")


def rewrite_statement(version):
    path = version / PROVENANCE
    path.write_text(path.read_text().replace('"bytes":', '"bytes": 1', 1))


@pytest.mark.parametrize("tamper", [change_model, add_file, put_link, rewrite_statement])
def test_a_version_that_is_not_what_was_pushed_is_refused_and_the_last_good_one_answers(watched, tamper, tmp_path):
    root, server = watched
    before, aside = root.newest, tmp_path / "aside"
    with server.paused():  # nobody is to see the version before it is changed
        pushed = root.roll_back(before - 1)
        folder = root.paths.serving / str(pushed)
        shutil.copytree(folder, aside)
        tamper(folder)
    server.wait_for(f"refused version {pushed}: ")
    status, _, headers = server.post({"instances": [TINY]})
    assert (status, headers["X-Model-Version"]) == (200, str(before))
    (one,) = [one for one in server.get()[1]["model_version_status"] if one["version"] == str(pushed)]
    assert (one["state"], one["status"]["error_code"]) == ("END", "FAILED_PRECONDITION")
    # Put right, it is served: nothing has to be restarted.
    shutil.rmtree(folder)
    shutil.copytree(aside, folder)
    server.wait_for(f"serving version {pushed} ")


def test_labels_and_older_versions_are_asked_by_their_paths(watched):
    _, server = watched
    assert server.post({"instances": [TINY]}, path="/labels/first:predict")[2]["X-Model-Version"] == "1"
    assert server.post({"instances": [TINY]}, path="/versions/1:predict")[0] == 200


# --- the server as a program ---


def refusal(root, *options):
    return in_process("serve", "--root", root, "--port", "0", "--grpc-port", "0", *options)


def test_beyond_loopback_it_wants_a_token_or_client_certificates(first_run):
    answer = refusal(first_run[0], "--host", "0.0.0.0")
    assert answer.code == 2
    assert "--token-file" in answer.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "8501", "--grpc-port", "8501"], "one port for both protocols"),
        (["--model-name", "a/b"], "--model-name"),
        (["--label", "a=" + "9" * 4000], "no version number"),
        (["--tls-cert", __file__, "--tls-key", __file__], "no certificate with its key"),
    ],
    ids=str,
)
def test_options_that_cannot_be_served_are_refused_before_tensorflow_is_imported(first_run, options, message):
    answer = in_process("serve", "--root", first_run[0], *options)
    assert (answer.code, message in answer.err) == (2, True), answer.err


def test_a_port_that_is_taken_is_said_before_tensorflow_is_imported(first_run, server):
    port = server.rest.split(":")[2].split("/")[0]
    answer = in_process("serve", "--root", first_run[0], "--port", port)
    assert (answer.code, "Address already in use" in answer.err, "--port" in answer.err) == (4, True, True)


def test_a_token_is_asked_of_every_request_on_both_protocols(first_run, tmp_path):
    import grpc
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    with serving(first_run[0], "--token-file", str(token), folder=tmp_path) as server:
        bearer = "Bearer 0123456789abcdef"
        assert server.post({"instances": [BLANK]})[0] == 401
        assert server.post({"instances": [BLANK]}, headers={"Authorization": bearer})[0] == 200
        with grpc.insecure_channel(server.grpc) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as failed:
                stub.Predict(predict_request([BLANK]), 10.0)
            assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert stub.Predict(predict_request([BLANK]), 10.0, metadata=[("authorization", bearer)]).outputs


def test_nothing_that_fails_its_conditions_is_served_at_all(first_run, tmp_path):
    keypair = in_process("lineage", "keygen", "--to", tmp_path / "keys")
    assert keypair.code == 0
    (public,) = (tmp_path / "keys").glob("*pub*")
    answer = refusal(first_run[0], "--key", public)
    assert answer.code == 3
    assert "no version can be served" in answer.err
