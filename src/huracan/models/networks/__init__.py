"""Networks as plain modules: a window of bars in, outputs out; nothing here knows of ranks, devices, losses or seeds.

Every network is built as ``Network(n_features, window, n_outputs, *, ...)`` and is ``head(blocks(stem(x)))``. The names
below are loaded when first asked for, because torch takes seconds to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.models.networks.attention import SelfAttention
    from huracan.models.networks.causal_convolution import CausalConvolution
    from huracan.models.networks.convolution import ConvolutionNetwork
    from huracan.models.networks.feed_forward import FeedForward
    from huracan.models.networks.gru import GRUNetwork
    from huracan.models.networks.heads import SequenceHead
    from huracan.models.networks.linear import LinearNetwork
    from huracan.models.networks.lstm import LSTMNetwork
    from huracan.models.networks.network import SequenceNetwork
    from huracan.models.networks.perceptron import PerceptronNetwork
    from huracan.models.networks.stems import SequenceStem
    from huracan.models.networks.transformer import TransformerNetwork
    from huracan.models.networks.window_scaling import WindowScaling

_HOMES = {
    "CausalConvolution": "causal_convolution",
    "ConvolutionNetwork": "convolution",
    "FeedForward": "feed_forward",
    "GRUNetwork": "gru",
    "LSTMNetwork": "lstm",
    "LinearNetwork": "linear",
    "PerceptronNetwork": "perceptron",
    "SelfAttention": "attention",
    "SequenceHead": "heads",
    "SequenceNetwork": "network",
    "SequenceStem": "stems",
    "TransformerNetwork": "transformer",
    "WindowScaling": "window_scaling",
}

__all__ = [
    "CausalConvolution",
    "ConvolutionNetwork",
    "FeedForward",
    "GRUNetwork",
    "LSTMNetwork",
    "LinearNetwork",
    "PerceptronNetwork",
    "SelfAttention",
    "SequenceHead",
    "SequenceNetwork",
    "SequenceStem",
    "TransformerNetwork",
    "WindowScaling",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
