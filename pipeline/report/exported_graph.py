"""A served SavedModel as one differentiable function of its scaled or raw pixels, whatever network it holds.

The signature takes bytes, through which no gradient passes. So the graph behind it is frozen, and cut where the pixels
have just become floating point numbers: from there on it is the model as it is served, transform included.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from components.features import RECONSTRUCT, SERVING_DEFAULT


@dataclasses.dataclass(frozen=True)
class ExportedGraph:
    """The served function, cut open.

    Attributes:
      scores: float32 pixels [N, H*W] on the raw scale -> what the probabilities are made from [N, label_count], and the
        input of the last layer.
    """

    scores: Any

    @classmethod
    def of(cls, model: Any) -> ExportedGraph:
        """Cut the graph of a loaded SavedModel.

        Raises:
          ValueError: if it is not of the form: cast to float, then layers, of which the last is dense.
        """
        imported, answer = _frozen(model.signatures[SERVING_DEFAULT])
        probabilities = imported.graph.get_tensor_by_name(answer)
        softmax = _behind(probabilities, "Softmax", hops=4)  # TensorFlow wraps an output up to three times
        scores = probabilities if softmax is None else softmax.inputs[0]
        last = _behind(scores, "MatMul", hops=8)
        if last is None:
            raise ValueError("the served graph does not end in a dense layer")
        return cls(imported.prune(_pixels(imported.graph), [scores, last.inputs[0]]))


def encoder(model: Any, layers: int) -> Any:
    """Return the served autoencoder up to its narrowest place: float32 pixels [N, H*W] on the raw scale -> [N, latent].

    Args:
      model: a loaded SavedModel that can reconstruct.
      layers: dense layers of the encoder, behind which the decoder begins.

    Raises:
      ValueError: if the graph is not of the form: cast to float, then that many dense layers, then others.
    """
    imported, _ = _frozen(model.signatures[RECONSTRUCT])
    # TensorFlow imports a graph in the order in which it is computed, and an autoencoder is one chain of layers.
    dense = [operation for operation in imported.graph.get_operations() if operation.type == "MatMul"]
    if len(dense) <= layers:
        raise ValueError(f"the served autoencoder has {len(dense)} dense layers, and {layers} are those of its encoder")
    return imported.prune(_pixels(imported.graph), dense[layers].inputs[0])


def _frozen(signature: Any) -> tuple[Any, str]:
    """Return a signature as one graph without variables or inner functions, and the name of its float output."""
    frozen = convert_variables_to_constants_v2(signature)
    imported = tf.compat.v1.wrap_function(
        lambda: tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name=""), []
    )
    (answer,) = (output.name for output in frozen.outputs if output.dtype == tf.float32)
    return imported, answer


def _pixels(graph: Any) -> Any:
    """Return the tensor where integer pixels have just become floats."""
    for operation in graph.get_operations():
        if operation.type == "Cast" and operation.outputs[0].dtype.is_floating and operation.inputs[0].dtype.is_integer:
            return operation.outputs[0]
    raise ValueError("the served graph does not turn integer pixels into floats")


def _behind(tensor: Any, kind: str, hops: int) -> Any:
    """Return the nearest operation of a kind before a tensor, at most so many steps away; None if there is none."""
    near = [tensor.op]
    for _ in range(hops + 1):
        for operation in near:
            if operation.type == kind:
                return operation
        near = [source.op for operation in near for source in operation.inputs]
    return None
