"""Every network: rows do not see each other, outputs start near zero, and nothing but stem, blocks and head is computed."""

from __future__ import annotations

import math
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from huracan.errors import HuracanError, ModelError, UnknownName  # noqa: E402
from huracan.models.networks import (  # noqa: E402
    ConvolutionNetwork,
    GRUNetwork,
    LinearNetwork,
    LSTMNetwork,
    PerceptronNetwork,
    SequenceNetwork,
    TransformerNetwork,
)

FEATURES, WINDOW, OUTPUTS = 3, 12, 2
SEQUENCE = [ConvolutionNetwork, GRUNetwork, LSTMNetwork, TransformerNetwork]
EVERY = [*SEQUENCE, LinearNetwork, PerceptronNetwork]
each = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
each_sequence = pytest.mark.parametrize("kind", SEQUENCE, ids=lambda kind: kind.__name__)


def built(kind: type[SequenceNetwork], **options: object) -> SequenceNetwork:
    torch.manual_seed(0)
    return kind(FEATURES, WINDOW, OUTPUTS, **options).double().eval()


def windows(rows: int = 5) -> torch.Tensor:
    return torch.randn(rows, WINDOW, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@each
def test_outputs_start_near_zero_whatever_the_width(kind):
    made = built(kind)(windows(200))
    assert made.shape == (200, OUTPUTS)
    # a head of independent weights of standard deviation .01 / sqrt(n) on values of size near one
    assert made.abs().max() < 0.1
    assert made.abs().max() > 0


@each
def test_a_row_does_not_depend_on_the_others(kind):
    net = built(kind).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    x = windows()
    together = net(x)
    assert torch.allclose(torch.cat([net(row[None]) for row in x]), together, rtol=0, atol=1e-14)


@each
def test_no_batch_statistics_are_kept(kind):
    assert not list(built(kind).buffers())


@each
def test_blocks_keep_the_shape_and_are_all_there_is_between_stem_and_head(kind):
    net, x = built(kind), windows()
    inside = net.stem(x)
    for block in net.blocks:
        shape, inside = inside.shape, block(inside)
        assert inside.shape == shape
    assert torch.equal(net.head(inside), net(x))


@pytest.mark.parametrize("kind", [GRUNetwork, LSTMNetwork])
def test_recurrent_blocks_return_contiguous_memory(kind):
    net = built(kind, n_blocks=2)
    assert all(block(net.stem(windows())).is_contiguous() for block in net.blocks)


@each
def test_same_input_same_bits(kind):
    net, x = built(kind), windows()

    def once() -> list[torch.Tensor]:
        made = net(x)
        return [made, *torch.autograd.grad(made.square().sum(), list(net.parameters()))]

    assert all(torch.equal(a, b) for a, b in zip(once(), once()))


@each
def test_a_state_dict_brings_the_same_network_back(kind):
    net = built(kind)
    torch.manual_seed(7)
    other = kind(FEATURES, WINDOW, OUTPUTS).double().eval()
    assert not torch.equal(other(windows()), net(windows()))
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(windows()), net(windows()))


@each
def test_every_weight_is_reached_by_the_gradient(kind):
    net = built(kind)
    net(windows()).square().sum().backward()
    silent = [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]
    # softmax does not see what is added to every key alike
    assert all(name.endswith("key.bias") for name in silent)


@each
def test_bfloat16_autocast_comes_close_to_float32(kind):
    net = built(kind).float()
    x = windows().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = net(x)
    rounded.float().sum().backward()
    # 8 bits of mantissa: some hundredths of the size of what is summed in the head
    assert torch.allclose(rounded.float(), net(x), atol=0.1 * net(x).abs().max().item() + 1e-3)


@pytest.mark.parametrize("scaling", ["last", "standard"])
@each
def test_scaled_windows_forget_their_level(kind, scaling):
    net, x = built(kind, window_scaling=scaling), windows()
    assert torch.allclose(net(x + torch.tensor([3.0, -50.0, 700.0])), net(x), atol=1e-11)
    spread = torch.tensor([2.0, 5.0, 11.0])
    same = torch.allclose(net(x * spread), net(x), atol=1e-6)
    assert same == (scaling == "standard")


@pytest.mark.parametrize("readout", ["last", "mean_last", "flatten"])
@pytest.mark.parametrize("patch", [1, 4, 5, 12])
@each_sequence
def test_every_patch_and_readout_fits(kind, patch, readout):
    net = built(kind, patch=patch, readout=readout)
    assert net(windows()).shape == (5, OUTPUTS)
    assert net.stem(windows()).shape[1] == net.stem.length == math.ceil(WINDOW / patch)


@each_sequence
def test_every_bar_of_every_feature_has_a_say(kind):
    net, x = built(kind, readout="last"), windows().requires_grad_()
    (reach,) = torch.autograd.grad(net(x).sum(), x)
    assert (reach != 0).all()


@pytest.mark.parametrize("kind", [GRUNetwork, LSTMNetwork, ConvolutionNetwork])
def test_no_step_sees_a_later_one(kind):
    net, x = built(kind), windows().requires_grad_()
    inside = net.stem(x)
    for block in net.blocks:
        inside = block(inside)
    for step in range(WINDOW):
        (reach,) = torch.autograd.grad(inside[:, step].sum(), x, retain_graph=True)
        assert not reach[:, step + 1 :].any()
        assert reach[:, : step + 1].any()


@each
def test_what_tensor_parallelism_may_split_are_linear_layers(kind):
    declared = [module for module in built(kind).modules() if hasattr(module, "tensor_parallel")]
    assert bool(declared) == (kind in (TransformerNetwork, PerceptronNetwork))
    for module in declared:
        for name, how in module.tensor_parallel.items():
            assert isinstance(getattr(module, name), nn.Linear)
            assert how in ("columns", "rows")


def test_compiled_networks_say_the_same():
    for kind in EVERY:
        net = built(kind)
        compiled = torch.compile(net, backend="aot_eager")
        assert torch.allclose(compiled(windows()), net(windows()), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "error", "said"),
    [
        (partial(GRUNetwork, 3, 8, 1, patch=9), ModelError, "patch must not be longer than the window of 8 bars, not 9."),
        (partial(LSTMNetwork, 3, 0, 1), ModelError, "window must be a whole number of at least 1, not 0."),
        (partial(TransformerNetwork, 3, 8, 1, hidden=30, n_heads=4), ModelError, "n_heads must divide the width of 30, not 4."),
        (partial(ConvolutionNetwork, 3, 8, 1, kernel=1), ModelError, "kernel must be a whole number of at least 2, not 1."),
        (partial(LinearNetwork, 3, 8, 1, window_scaling="lst"), UnknownName, "did you mean 'last'?"),
        (partial(GRUNetwork, 3, 8, 1, readout="final"), UnknownName, "unknown readout 'final'"),
        (partial(PerceptronNetwork, 3, 1, 1, dropout=1.5), ModelError, "dropout must be a share from 0 to below 1, not 1.5."),
    ],
)
def test_impossible_sizes_are_refused_in_a_sentence(build, error, said):
    with pytest.raises(error) as caught:
        build()
    assert isinstance(caught.value, HuracanError)
    assert said in str(caught.value)


def test_an_unknown_network_is_no_attribute():
    import huracan.models.networks as room

    with pytest.raises(AttributeError, match="has no attribute 'Perceptron'"):
        room.Perceptron  # noqa: B018
    assert all(hasattr(room, name) for name in room.__all__)
