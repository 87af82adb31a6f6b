"""What a run left, in a form in which two runs can be compared."""

from google.protobuf import json_format


def output(root, node, channel):
    """Returns the folder of the only artifact of a channel."""
    [folder] = [path for path in (root / "artifacts" / node / channel).iterdir() if path.name.isdecimal()]
    return folder


def statistics(root, split):
    """Returns the statistics of a split as nested values."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    file = output(root, "StatisticsGen", "statistics") / f"Split-{split}" / "FeatureStats.pb"
    return json_format.MessageToDict(statistics_pb2.DatasetFeatureStatisticsList.FromString(file.read_bytes()))


def flat(value, path=""):
    """Returns {path: value} of nested values."""
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, inner in entries for k, v in flat(inner, f"{path}/{key}").items()}
    return {path: value}


def numbers(values):
    return {path: value for path, value in values.items() if isinstance(value, int | float)}


def texts(values):
    return {path: value for path, value in values.items() if not isinstance(value, int | float)}


def constants(root):
    """Returns the floats that Transform's graph has learned, those of all constants in the order of their sizes."""
    from tensorflow import make_ndarray
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = output(root, "Transform", "transform_graph") / "transform_fn" / "saved_model.pb"
    graph = SavedModel.FromString(file.read_bytes()).meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    values = [make_ndarray(node.attr["value"].tensor) for node in nodes if node.op == "Const"]
    return sorted(
        (value.ravel().tolist() for value in values if value.dtype.kind == "f"), key=lambda one: (len(one), one)
    )
