"""The network of a report: kernels and biases are layers, in order, each with its form and parameters."""

from pipeline.lineage.diff.tensors import Tensor
from pipeline.report.sections.network import layers_of


def variables(**shapes):
    return {
        f"{name.replace('__', '/')}/.ATTRIBUTES/VARIABLE_VALUE": Tensor(dtype="float32", shape=shape, sha256="")
        for name, shape in shapes.items()
    }


def test_kernel_and_bias_are_one_layer_and_the_tenth_comes_after_the_second():
    found = layers_of(
        variables(
            classifier__kernels__0=(64, 32), classifier__biases__0=(32,),
            classifier__kernels__10=(32, 10), classifier__biases__10=(10,),
            classifier__kernels__1=(32, 32), classifier__biases__1=(32,),
        )
    )  # fmt: skip
    assert [(one.name, one.form, one.parameters) for one in found] == [
        ("classifier 1", "64 → 32", 2_080),
        ("classifier 2", "32 → 32", 1_056),
        ("classifier 11", "32 → 10", 330),
    ]


def test_a_served_autoencoder_is_a_list_of_kernels_and_biases_by_turns():
    found = layers_of(
        variables(
            autoencoder_weights__0=(64, 24),
            autoencoder_weights__1=(24,),
            autoencoder_weights__2=(24, 64),
            autoencoder_weights__3=(64,),
        )
    )
    assert [(one.name, one.form) for one in found] == [("autoencoder 1", "64 → 24"), ("autoencoder 2", "24 → 64")]


def test_a_convolution_names_its_window_and_another_network_its_own_objects():
    [layer] = layers_of(variables(network___operations__1___kernel=(3, 3, 1, 32), network___operations__1__bias=(32,)))
    assert (layer.form, layer.parameters) == ("3 \N{MULTIPLICATION SIGN} 3, 1 → 32", 320)
