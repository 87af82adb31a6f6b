"""What TensorFlow would do with a graph on a GPU, by the kernels that it has registered for GPUs, without one.

The wheel holds the kernels for GPUs on every machine. So for each operation there is an answer to whether it has one for the
types that it is used with, and which of that kernel's arguments lie in the host's memory all the same. An edge from one
memory to the other is a copy; from device to host it also waits for all that the device was given to do.
"""

from __future__ import annotations

import dataclasses
import functools

import tensorflow as tf
from tensorflow.python.framework import kernels, op_def_registry

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
NOWHERE = ("NoOp", "Placeholder", "_Retval", "_Arg", "Const")
"""Without a place of their own: their value is made where it is used."""


@dataclasses.dataclass(frozen=True)
class Copy:
    """A tensor that goes from one memory to the other.

    Attributes:
      to: `host` or `device`.
      tensor: its name, with the names of the functions that it is in.
      shape: its static shape.
      dtype: its type.
      by: the type of the operation that takes it.
    """

    to: str
    tensor: str
    shape: tf.TensorShape
    dtype: tf.DType
    by: str

    def __str__(self):
        return f"{self.tensor} {self.dtype.name}{self.shape} to the {self.to} for {self.by}"


@dataclasses.dataclass
class Placed:
    """What would be where.

    Attributes:
      on_cpu: (name, type, dtypes of its inputs) of each operation without a kernel for GPUs.
      copies: between the memories.
    """

    on_cpu: list = dataclasses.field(default_factory=list)
    copies: list[Copy] = dataclasses.field(default_factory=list)


def loop_bodies(function):
    """Returns the bodies of all loops in a `tf.function`'s concrete function, functions that it calls included."""
    found = []
    for op in function.graph.get_operations():
        if op.type in ("While", "StatelessWhile"):
            found.append(_body(function.graph, op.get_attr("body").name))
        elif op.type in CALLS:
            found += loop_bodies(_called(function.graph, op))
    return found


def placed(graph) -> Placed:
    """Returns where the operations of a graph and of the functions that it calls would be."""
    result = Placed()
    _place(graph, result, "")
    return result


def _place(graph, result, within):
    for op in graph.get_operations():
        if op.type in CALLS and not _is_compiled(op):
            _place(_called(graph, op).graph, result, f"{within}{op.name}/")
        if op.type in NOWHERE or op.type in CALLS:
            continue
        memories = _memories(op)
        if memories is None:
            result.on_cpu.append((within + op.name, op.type, [one.dtype.name for one in op.inputs]))
        taken = ["host"] * len(op.inputs) if memories is None else memories[0]
        for tensor, wanted in zip(op.inputs, taken, strict=True):
            given = _made_in(tensor)
            if given is not None and given != wanted:
                result.copies.append(Copy(wanted, within + tensor.name, tensor.shape, tensor.dtype, op.type))


def _made_in(tensor):
    """Returns the memory that a tensor is made in; None for one that is made wherever it is wanted."""
    if tensor.dtype in (tf.resource, tf.variant):
        return None
    op = tensor.op
    if op.type == "Const":
        return None
    if op.type in NOWHERE or op.type in CALLS:
        # By the convention for the arguments and results of functions, all integers of 32 bits are in the host's memory.
        return "host" if tensor.dtype == tf.int32 else "device"
    memories = _memories(op)
    return "host" if memories is None else memories[1][tensor.value_index]


def _memories(op):
    """Returns the memories of the inputs and of the outputs of an operation's kernel for GPUs; None without one."""
    for kernel in _kernels(op.type):
        if all(op.get_attr(one.name) in one.allowed_values.list.type for one in kernel.constraint):
            definition = op_def_registry.get(op.type)
            host = set(kernel.host_memory_arg)
            return (
                _in_ports(op, definition.input_arg, host, len(op.inputs)),
                _in_ports(op, definition.output_arg, host, len(op.outputs)),
            )
    return None


@functools.cache
def _kernels(kind):
    return [one for one in kernels.get_registered_kernels_for_op(kind).kernel if one.device_type in ("GPU", "DEFAULT")]


def _in_ports(op, arguments, host, count):
    ports = []
    for one in arguments:
        number = 1
        if one.number_attr:
            number = op.get_attr(one.number_attr)
        elif one.type_list_attr:
            number = len(op.get_attr(one.type_list_attr))
        ports += ["host" if one.name in host else "device"] * number
    assert len(ports) == count, (op.type, ports, count)
    return ports


def _is_compiled(op):
    return "_XlaMustCompile" in op.node_def.attr and op.get_attr("_XlaMustCompile")


def _called(graph, op):
    return graph._get_function(op.get_attr("f").name)


def _body(graph, name):
    return graph._get_function(name).graph
