"""The bytes of a small saved_model.pb with the ops a test asks for, written without TensorFlow."""

from collections.abc import Mapping, Sequence

SAVE, RESTORE = "traced_save", "traced_restore"
FUNCTIONS = {
    "classify": ("Cast", "MatMul", "AddV2", "Softmax", "Identity"),
    SAVE: ("ShardedFilename", "SaveV2", "MergeV2Checkpoints", "Identity"),
    RESTORE: ("RestoreV2", "AssignVariableOp"),
}
MAIN = (("Placeholder", ()), ("StatefulPartitionedCall", ("classify",)))


def field(number: int, value: bytes | str) -> bytes:
    """Returns one length-delimited protobuf field."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def saved_model(
    main: Sequence[tuple[str, Sequence[str]]] = MAIN, functions: Mapping[str, Sequence[str]] | None = None
) -> bytes:
    """Returns a SavedModel: (op, functions called) of the main graph's nodes, and {function: ops} of the library."""
    library = b"".join(_function(name, ops) for name, ops in (functions or FUNCTIONS).items())
    nodes = [_node(f"node_{i}", op, calls) for i, (op, calls) in enumerate(main)]
    nodes += [
        _node("save", "StatefulPartitionedCall", (SAVE,)),
        _node("restore", "StatefulPartitionedCall", (RESTORE,)),
    ]
    graph = b"".join(field(1, node) for node in nodes) + field(2, library)
    saver = field(1, "saver_filename:0") + field(2, "save:0") + field(3, "restore")
    return bytes([1 << 3, 1]) + field(2, field(2, graph) + field(3, saver))


def _function(name: str, ops: Sequence[str]) -> bytes:
    return field(1, field(1, field(1, name)) + b"".join(field(3, _node(f"{op}_{i}", op)) for i, op in enumerate(ops)))


def _node(name: str, op: str, calls: Sequence[str] = ()) -> bytes:
    called = b"".join(field(5, field(1, "f") + field(2, field(10, field(1, call)))) for call in calls)
    return field(1, name) + field(2, op) + called


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])
