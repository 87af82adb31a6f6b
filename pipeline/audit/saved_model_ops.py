"""The ops in a saved_model.pb that a served model has no business with; nothing is loaded.

A SavedModel is a program: ReadFile and WriteFile run when it is loaded or asked. So its graphs are read from the
protobuf wire format and every op that is not on the list below is a
finding, ops of foreign libraries among them. Field numbers are those of TensorFlow's saved_model.proto,
meta_graph.proto, graph.proto, function.proto, node_def.proto, attr_value.proto and saver.proto.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from components.errors import EnvironmentProblem
from pipeline.process.wire_format import fields
from pipeline.provenance.ancestry import reachable

ORDINARY: Final = frozenset(
    """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AssignAddVariableOp AssignSubVariableOp AssignVariableOp AvgPool
    BatchMatMulV2 BatchMatMulV3 BiasAdd BroadcastTo Cast Ceil ClipByValue ConcatV2 Const Conv2D
    Conv2DBackpropInput DepthwiseConv2dNative DisableCopyOnRead Div DivNoNan Einsum Elu EnsureShape Equal Erf Erfc
    Exp ExpandDims Fill Floor FloorDiv FloorMod FusedBatchNormV3 GatherNd GatherV2 Greater GreaterEqual Identity
    IdentityN If IsFinite IsInf IsNan L2Loss LeakyRelu Less LessEqual Log Log1p LogSoftmax LogicalAnd LogicalNot
    LogicalOr MatMul Max MaxPool Maximum Mean Min Minimum Mul MulNoNan Neg NoOp NotEqual OneHot OnesLike Pack Pad PadV2
    ParseExampleV2 PartitionedCall Placeholder PlaceholderWithDefault Pow Prod Range Rank ReadVariableOp RealDiv
    Reciprocal Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt Select SelectV2 Selu Shape
    ShapeN Sigmoid Sign Size Slice Softmax Softplus Softsign Split SplitV Sqrt Square SquaredDifference Squeeze
    StatefulPartitionedCall StatelessIf StatelessWhile StopGradient StridedSlice Sub Sum Tanh Tile TopKV2 Transpose
    Unpack VarHandleOp VarIsInitializedOp Where While Xdivy Xlogy ZerosLike
    """.split()  # noqa: SIM905  # a list literal would take a line to each op
)
"""Arithmetic, shapes, control flow, variables, and parsing of tf.Examples: nothing that reaches outside the graph."""

SAVER: Final = frozenset(
    {"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename", "StaticRegexFullMatch", "StringJoin"}
)
"""Every SavedModel holds these in its own save and restore functions, and only there."""

MAIN: Final = "main graph"

_OP_NAME: Final = re.compile("_?[A-Z][A-Za-z0-9_>]*")
"""TensorFlow's names of ops, known here or not; its functions are named such as `__inference_serve_12`.

A function that is named so hides what a node runs: the op or the function.
"""


class NotASavedModel(EnvironmentProblem):
    """These bytes are no SavedModel."""


@dataclasses.dataclass(frozen=True, kw_only=True, order=True)
class ForbiddenOp:
    """An op that is not on the list.

    Attributes:
      op: its name, such as `ReadFile`.
      function: the function that holds it, or `main graph`.
      node: the node's name in there.
    """

    op: str
    function: str
    node: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Node:
    name: str
    op: str
    calls: tuple[str, ...]


def scan(data: bytes) -> tuple[ForbiddenOp, ...]:
    """Return the ops of a saved_model.pb that are not on the list, sorted.

    Raises:
      NotASavedModel: if the bytes do not parse, or hold no graph.
    """
    try:
        metagraphs = [value for number, value in fields(data) if number == 2]
        forbidden = [op for metagraph in metagraphs for op in _scan_metagraph(_message(metagraph))]
    except (ValueError, IndexError, KeyError) as err:
        raise NotASavedModel("does not parse as a SavedModel", where="saved_model.pb", got=err) from err
    if not metagraphs:
        raise NotASavedModel("holds no graph", where="saved_model.pb")
    return tuple(sorted(set(forbidden)))


def _scan_metagraph(metagraph: bytes) -> Iterator[ForbiddenOp]:
    graph = _only(metagraph, 2)
    bodies = {MAIN: [_node(node) for node in _all(graph, 1)]}
    for library in _all(graph, 2):
        for function in _all(library, 1):
            name = _text(_only(function, 1), 1)
            if name in bodies:
                raise ValueError(f"two functions named {name}")  # one would hide the other
            bodies[name] = [_node(node) for node in _all(function, 3)]
    saving = _saver_functions(bodies, _saver_nodes(metagraph))
    for function_name, nodes in bodies.items():
        allowed = ORDINARY | SAVER if function_name in saving else ORDINARY
        if _OP_NAME.fullmatch(function_name):
            yield ForbiddenOp(op=function_name, function=function_name, node="the function's own name")
        # A node may also name a function of the library as its op, but none that goes by the name of an op.
        refused = (
            node for node in nodes if node.op not in allowed and (node.op not in bodies or _OP_NAME.fullmatch(node.op))
        )
        yield from (ForbiddenOp(op=node.op, function=function_name, node=node.name) for node in refused)


def _saver_nodes(metagraph: bytes) -> frozenset[str]:
    """Return the main graph's nodes that SaverDef names: one saves, one restores."""
    savers = _all(metagraph, 3)
    names = [text for saver in savers for number in (2, 3) for text in [_text(saver, number)]]
    return frozenset(name.partition(":")[0] for name in names if name)


def _saver_functions(bodies: Mapping[str, list[_Node]], savers: frozenset[str]) -> set[str]:
    """Return the functions that saving and restoring alone reach; what a signature calls too is not among them."""
    main = bodies[MAIN]
    by_saver = _reached(bodies, (call for node in main if node.name in savers for call in node.calls))
    by_others = _reached(bodies, (call for node in main if node.name not in savers for call in (*node.calls, node.op)))
    return by_saver - by_others


def _reached(bodies: Mapping[str, list[_Node]], starts: Iterable[str]) -> set[str]:
    def called(name: str) -> list[str]:
        return [call for node in bodies[name] for call in (*node.calls, node.op) if call in bodies]

    return set(reachable((start for start in starts if start in bodies), called))


def _node(data: bytes) -> _Node:
    """NodeDef: name 1, op 2, attr 5 (a map: key 1, value 2)."""
    values = [_only(entry, 2) for entry in _all(data, 5)]
    calls = tuple(call for value in values for call in _called(value))
    return _Node(name=_text(data, 1), op=_text(data, 2), calls=calls)


def _called(attr_value: bytes) -> Iterator[str]:
    """AttrValue: func 10, list 1 (func 9); NameAttrList: name 1."""
    functions = [*_all(attr_value, 10), *(func for values in _all(attr_value, 1) for func in _all(values, 9))]
    yield from (_text(function, 1) for function in functions)


def _all(data: bytes, number: int) -> list[bytes]:
    return [_message(value) for field, value in fields(data) if field == number]


def _only(data: bytes, number: int) -> bytes:
    # Protobuf merges a message field that is given more than once; joining the bytes does the same.
    return b"".join(_all(data, number))


def _text(data: bytes, number: int) -> str:
    texts = _all(data, number)
    return texts[-1].decode() if texts else ""


def _message(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")  # noqa: TRY004  # of the bytes, not of an argument
    return value
