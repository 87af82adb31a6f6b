"""Requests that schemathesis makes from the OpenAPI document: each is answered in time, as documented, and never by a 5xx."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from server.running_server import serving
from server.tiny_root import PIXELS, TinyRoot

from pipeline.predict.server.openapi import DOCUMENT

SECONDS = 10.0
EXAMPLES = {"get": 6, "post": 15}
"""Paths are slower to make than bodies, and there is less that can be wrong with them."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [
    (path, method) for path, item in DOCUMENT["paths"].items() for method in item if method in ("get", "post")
]
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    root = TinyRoot(folder / "root")
    root.push("none")
    with serving(root.paths.root, "--model-name", "tiny", folder=folder) as server:
        yield server.rest.split("/v1/")[0]
        # Whatever was asked, it still answers, and nothing of it was a fault of its own.
        assert server.post({"instances": [[0] * PIXELS]})[0] == 200
        assert "cannot answer" not in server.said
        assert "Traceback" not in server.said


def quietly(method):
    """Bounded and always the same: what fails here fails everywhere."""
    return settings(
        max_examples=EXAMPLES[method],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name.lower())
@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=str)
def test_every_request_is_answered_as_documented(base, path, method, mode):
    operation = SCHEMA[path][method]

    @quietly(method)
    @given(case=operation.as_strategy(generation_mode=mode), there=st.booleans())
    def ask(case, there):
        if there:  # most names and numbers are of no model, and end before anything is read
            case.path_parameters = {**case.path_parameters, "model": "tiny"} | (
                {"version": 1} if "version" in path else {}
            )
        case.call_and_validate(base_url=base, timeout=SECONDS, checks=CHECKS)

    ask()


rows = st.lists(st.integers(-1, 256) | st.booleans() | st.floats() | st.text(max_size=2), max_size=PIXELS + 1)
values = st.recursive(rows | st.just([0] * PIXELS), lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@pytest.mark.parametrize("key", ["instances", "inputs"])
@pytest.mark.parametrize("signature", ["serving_default", "serving_images", "serving_examples", "reconstruct"], ids=str)
def test_every_body_that_is_nearly_right_is_answered(base, key, signature):
    import json

    import requests

    @quietly("post")
    @given(value=values)
    def ask(value):
        body = json.dumps({"signature_name": signature, key: value})
        answer = requests.post(f"{base}/v1/models/tiny:predict", data=body, timeout=SECONDS)
        assert answer.status_code in (200, 400), answer.text
        assert answer.json().keys() <= {"predictions", "outputs", "error"}

    ask()
