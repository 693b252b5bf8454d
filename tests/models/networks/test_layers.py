"""The layers by which networks are built equal torch's own, in double precision."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from huracan.models.networks import CausalConvolution, SelfAttention, SequenceStem, WindowScaling  # noqa: E402
from huracan.models.networks.causal_convolution import causal_convolution  # noqa: E402

# sums of some hundred products of size one, in double precision
EXACT = {"rtol": 0.0, "atol": 1e-12}


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


@pytest.mark.parametrize("dilation", [1, 3, 20])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_causal_convolution_is_conv1d_of_a_sequence_padded_on_the_left(kernel, dilation):
    layer, steps = CausalConvolution(4, 6, kernel=kernel, dilation=dilation).double(), drawn(11, 5, 4)
    made = layer(steps)
    padded = F.pad(steps.permute(1, 2, 0), ((kernel - 1) * dilation, 0))
    expected = F.conv1d(padded, layer.weight.flip(0).permute(2, 1, 0), layer.bias, dilation=dilation).permute(2, 0, 1)
    assert torch.allclose(made, expected, **EXACT)
    pull, weights = drawn(*made.shape).detach(), [steps, layer.weight, layer.bias]
    for ours, oracle in zip(torch.autograd.grad(made, weights, pull), torch.autograd.grad(expected, weights, pull)):
        assert torch.allclose(ours, oracle, **EXACT)


def test_causal_convolution_has_the_gradient_of_its_values():
    assert torch.autograd.gradcheck(causal_convolution, (drawn(6, 2, 3), drawn(3, 3, 2), drawn(2), 2))


def test_self_attention_is_multi_head_attention():
    ours, oracle, x = SelfAttention(8, 2).double(), nn.MultiheadAttention(8, 2, batch_first=True).double(), drawn(3, 7, 8)
    with torch.no_grad():
        parts = (ours.query, ours.key, ours.value)
        oracle.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        oracle.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        oracle.out_proj.load_state_dict(ours.out.state_dict())
    made, expected = ours(x), oracle(x, x, x, need_weights=False)[0]
    assert torch.allclose(made, expected, **EXACT)
    pull = drawn(*made.shape).detach()
    assert torch.allclose(*(torch.autograd.grad(value, x, pull)[0] for value in (made, expected)), **EXACT)


def test_attention_split_by_heads_sums_to_the_whole():
    whole, x = SelfAttention(8, 4).double(), drawn(3, 7, 8)
    total = whole.out.bias.detach().clone()
    for columns in (slice(0, 4), slice(4, 8)):
        part = SelfAttention(8, 4).double()
        for name in ("query", "key", "value"):
            layer = getattr(whole, name)
            share = nn.Linear(8, 4).double()
            share.load_state_dict({"weight": layer.weight[columns], "bias": layer.bias[columns]})
            setattr(part, name, share)
        part.out = nn.Linear(4, 8, bias=False).double()
        part.out.load_state_dict({"weight": whole.out.weight[:, columns]})
        total = total + part(x)
    assert torch.allclose(total, whole(x), **EXACT)


@pytest.mark.parametrize(("window", "patch"), [(window, patch) for window in (1, 6, 7) for patch in range(1, window + 1)])
def test_a_stem_joins_all_bars_the_newest_patch_whole(window, patch):
    stem, x = SequenceStem(2, window, 5, patch=patch).double(), drawn(3, window, 2)
    made = stem(x)
    assert made.shape == (3, -(-window // patch), 5)
    assert torch.allclose(made[:, -1], stem.project(x[:, -patch:].flatten(1)), **EXACT)
    (reach,) = torch.autograd.grad(made[:, 0].sum(), x)
    rest = (window - 1) % patch + 1
    assert reach[:, :rest].all()
    assert not reach[:, rest:].any()


def test_a_window_that_does_not_move_stays_finite_and_zero():
    still = torch.full((2, 5, 3), 7.0, requires_grad=True)
    made = WindowScaling("standard")(still)
    assert not made.any()
    (grad,) = torch.autograd.grad(made.sum(), still)
    assert grad.isfinite().all()


def test_windows_in_units_of_their_own_deviation_do_not_depend_on_their_level():
    """A coin of a hundred-thousandth of a dollar beside one of sixty thousand; but what rounding moves is no move."""
    moves = 1.0 + 0.01 * torch.randn(4, 32, 1, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)
    known = WindowScaling("standard")(moves.double())
    assert torch.allclose(known.std(dim=1, correction=0), torch.ones(4, 1, dtype=torch.float64), atol=1e-6)
    for level in (1e-8, 1e-5, 1.0, 6e4, 1e8):
        assert torch.allclose(WindowScaling("standard")((moves * level).float()).double(), known, atol=2e-3)
    flat = torch.where(torch.arange(32) % 2 == 0, 60_000.0, np.nextafter(np.float32(60_000.0), np.float32(1e9)).item())
    assert WindowScaling("standard")(flat.view(1, 32, 1)).abs().max() < 1.0


def test_torch_is_not_imported_before_a_network_is_asked_for():
    said = "import sys, huracan.models.networks; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout.strip() == "False"
