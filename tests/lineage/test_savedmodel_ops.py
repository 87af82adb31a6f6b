import random

import pytest
from lineage.saved_model_bytes import FUNCTIONS, MAIN, field, saved_model

from pipeline.audit.saved_model_ops import ForbiddenOp, NotASavedModel, scan


def ops(data: bytes) -> list[str]:
    return [found.op for found in scan(data)]


def test_an_ordinary_model_with_its_saver_is_clean():
    assert scan(saved_model()) == ()


@pytest.mark.parametrize("op", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "MatchingFiles", "SomebodysCustomOp"])
@pytest.mark.parametrize("function", ["classify", "traced_save"])
def test_an_op_that_reaches_outside_is_found_wherever_it_hides(op, function):
    found = scan(saved_model(functions={**FUNCTIONS, function: (*FUNCTIONS[function], op)}))
    assert found == (ForbiddenOp(op=op, function=function, node=f"{op}_{len(FUNCTIONS[function])}"),)


def test_an_op_of_the_main_graph_is_found():
    assert ops(saved_model(main=[*MAIN, ("ReadFile", ())])) == ["ReadFile"]


@pytest.mark.parametrize("op", ["MergeV2Checkpoints", "SaveV2", "RestoreV2"])
def test_the_savers_ops_are_found_outside_the_saver(op):
    assert ops(saved_model(functions={**FUNCTIONS, "classify": ("MatMul", op)})) == [op]


def test_a_signature_that_calls_the_saver_makes_its_ops_findings():
    main = [*MAIN, ("StatefulPartitionedCall", ("traced_save",))]
    assert ops(saved_model(main=main)) == ["MergeV2Checkpoints", "SaveV2", "ShardedFilename"]


def test_a_function_that_nothing_calls_is_scanned():
    assert ops(saved_model(functions={**FUNCTIONS, "unused": ("ReadFile",)})) == ["ReadFile"]


@pytest.mark.parametrize("op", ["ReadFile", "SomebodysCustomOp"])
def test_a_function_named_like_an_op_makes_no_node_of_that_op_legal(op):
    found = ops(saved_model(main=[*MAIN, (op, ())], functions={**FUNCTIONS, op: ("Identity",)}))
    assert found == [op, op]


def test_a_function_named_like_an_ordinary_op_is_found():
    assert ops(saved_model(functions={**FUNCTIONS, "MatMul": ("Identity",)})) == ["MatMul"]


def test_a_node_may_still_name_a_function_as_its_op():
    name = "__inference_serve_12"
    assert ops(saved_model(main=[*MAIN, (name, ())], functions={**FUNCTIONS, name: ("Identity",)})) == []


def test_a_second_graph_is_scanned():
    assert ops(saved_model() + saved_model(main=[("PyFunc", ())])) == ["PyFunc"]


def test_a_function_may_not_hide_the_main_graph_or_another_function():
    with pytest.raises(NotASavedModel, match="two functions"):
        scan(saved_model(main=[("ReadFile", ())], functions={**FUNCTIONS, "main graph": ("Identity",)}))


@pytest.mark.parametrize(
    "data", [b"", b"\x08\x01", b"\xff", b"\x12\xff\xff", b"\x0b", field(2, b"\x12\x05ab"), b"\x12" * 40]
)
def test_what_is_no_saved_model_is_named_as_such(data):
    with pytest.raises(NotASavedModel):
        scan(data)


def test_random_damage_never_escapes_as_another_error():
    whole, rng = bytearray(saved_model()), random.Random(0)
    for _ in range(2000):
        data = bytearray(whole)
        data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            scan(bytes(data[: rng.randrange(1, len(data) + 1)]))
        except NotASavedModel:
            continue
