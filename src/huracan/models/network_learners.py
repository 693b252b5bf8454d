"""The networks of the catalogue, and the way a network of one's own joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from huracan.baselines.search_space import Between, Dimension, OneOf
from huracan.baselines.spec import LearnerSpec, SupervisedTask
from huracan.model_info import MarketRegime
from huracan.models.neural_settings import NEURAL_ALIASES, NEURAL_DEFAULTS, NEURAL_MEANINGS

__all__ = ["NETWORKS", "network_learner"]


_LOOP_SPACE: Mapping[str, Dimension] = {
    "learning_rate": Between(2e-4, 5e-3, log=True),
    "weight_decay": Between(1e-3, 1.0, log=True),
}
_CAPS = {"quick": 50_000, "standard": 200_000, "full": 500_000}


def network_learner(
    *,
    name: str,
    purpose: str,
    ideal_dataset_shape: str,
    network: Callable[..., Any] | str,
    defaults: Mapping[str, Any] | None = None,
    meanings: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
    tasks: Sequence[SupervisedTask] = ("regression", "classification"),
    feature_requirements: Sequence[str] = ("numeric", "finite: no nulls, no infinities", "unbroken windows of bars"),
    market_regimes: Mapping[MarketRegime, str] | None = None,
    max_train_rows: Mapping[str, int | None] | None = None,
    search_space: Mapping[str, Dimension] | None = None,
) -> LearnerSpec:
    """A learner of the catalogue that is a network, trained by the one loop.

    Parameters
    ----------
    network : ``network(n_features, window, n_outputs, **hyperparameters)`` returns a ``torch.nn.Module`` whose forward takes
        windows (batch, window, n_features), oldest bar first, to outputs (batch, n_outputs): forecasts of the standardised
        label, or one score a class, both added to the constant forecast. Or ``"package.module:name"`` of it, which is not
        imported before it is needed.
    defaults : hyperparameters of the network itself; and other defaults for those of the loop (``window``, ``max_epochs``,
        ``learning_rate``, ...), which every network has.
    meanings, aliases, tasks, feature_requirements, market_regimes, max_train_rows : as in
        :class:`~huracan.baselines.spec.LearnerSpec`.
    search_space : hyperparameter -> where a search looks, beside the learning rate and the weight decay of every network.

    Examples
    --------
    >>> spec = network_learner(name="mean_of_window", purpose="the mean of what was seen", ideal_dataset_shape="(1_000+ rows)",
    ...                        network="my_package.nets:MeanNetwork", defaults={"width": 8, "window": 16})
    >>> spec.defaults["window"], spec.defaults["width"], spec.defaults["batch_size"]
    (16, 8, 256)
    """
    return LearnerSpec(
        name=name,
        purpose=purpose,
        ideal_dataset_shape=ideal_dataset_shape,
        tasks=tuple(tasks),
        network=network,
        feature_requirements=tuple(feature_requirements),
        market_regimes=market_regimes or {},
        defaults={**NEURAL_DEFAULTS, **(defaults or {})},
        meanings={**NEURAL_MEANINGS, **(meanings or {})},
        aliases={**NEURAL_ALIASES, **(aliases or {})},
        max_train_rows=_CAPS if max_train_rows is None else max_train_rows,
        search_space={**_LOOP_SPACE, **(search_space or {})},
        threads=True,
    )


_SEQUENCE = {"dropout": 0.1, "patch": 1, "window_scaling": "none", "head_dropout": 0.0}
_WIDTHS, _DROPOUT = OneOf((16, 32, 64, 128)), Between(0.0, 0.5)
_SEQUENCE_SPACE: Mapping[str, Dimension] = {
    "window": Between(8, 64, log=True, whole=True),
    "hidden": _WIDTHS,
    "dropout": _DROPOUT,
}
_MEANINGS = {
    "hidden": "width of what is carried from bar to bar",
    "n_blocks": "blocks, one behind the other",
    "dropout": "share of values set to zero in training, where a block's result is added",
    "patch": "bars joined into one step",
    "window_scaling": "none; last (windows less their last bar); standard (in units of their own deviation as well)",
    "readout": "what the outputs are read from: last (step), mean_last (and the mean of all), flatten (every step)",
    "head_dropout": "share of what is read that is set to zero in training",
}
_RECURRENT_ALIASES = {"hidden_size": "hidden", "num_layers": "n_blocks", "n_layers": "n_blocks"}
_ORDER_MATTERS = {
    MarketRegime.TRENDING: "how a trend built up tells more than where it is",
    MarketRegime.VOLATILE: "shocks are followed for as long as they echo",
}

NETWORKS: tuple[LearnerSpec, ...] = (
    network_learner(
        name="linear_network",
        purpose="One linear map of the last bars: the yardstick that every other network has to beat.",
        ideal_dataset_shape="(2_000+ rows in windows of 1-512 bars, 1-50 features)",
        network="huracan.models.networks.linear:LinearNetwork",
        defaults={"window_scaling": "none"},
        meanings={"window_scaling": _MEANINGS["window_scaling"]},
        search_space={"window": _SEQUENCE_SPACE["window"]},
        market_regimes={MarketRegime.TRENDING: "momentum is close to linear in past returns"},
    ),
    network_learner(
        name="mlp",
        purpose="Layers of weighted sums on one row of features: smooth interactions, where trees make steps.",
        ideal_dataset_shape="(10_000+ rows, 5-200 features)",
        network="huracan.models.networks.perceptron:PerceptronNetwork",
        defaults={"window": 1, "hidden": 64, "n_blocks": 2, "dropout": 0.1, "window_scaling": "none"},
        meanings={
            "hidden": "width of a layer",
            "n_blocks": "layers, one behind the other",
            "dropout": "share of values set to zero in training",
            "window_scaling": _MEANINGS["window_scaling"],
        },
        aliases={"hidden_size": "hidden", "n_layers": "n_blocks"},
        search_space={"hidden": _WIDTHS, "dropout": _DROPOUT},
        market_regimes={
            MarketRegime.RANGING: "interactions of level and speed mark reversals",
            MarketRegime.VOLATILE: "effects that grow with volatility are products of two features",
        },
    ),
    network_learner(
        name="cnn",
        purpose="Dilated causal convolutions: shapes in the last bars, wherever in the window they stand.",
        ideal_dataset_shape="(20_000+ rows in windows of 16-256 bars, 5-100 features)",
        network="huracan.models.networks.convolution:ConvolutionNetwork",
        defaults={**_SEQUENCE, "hidden": 64, "kernel": 5, "n_blocks": None, "readout": "last"},
        meanings={
            **_MEANINGS,
            "n_blocks": "convolutions of dilation 1, 2, 4, ...; none takes as many as see the whole window",
            "kernel": "bars that one convolution reads",
        },
        aliases={"channels": "hidden", "kernel_size": "kernel"},
        search_space={**_SEQUENCE_SPACE, "kernel": OneOf((3, 5, 7))},
        market_regimes={
            MarketRegime.RANGING: "turning points are shapes of a few bars",
            MarketRegime.TRENDING: "wide dilations see slow moves",
        },
    ),
    network_learner(
        name="lstm",
        purpose="Long short-term memory: what happened bar by bar, with gates that decide what to keep.",
        ideal_dataset_shape="(20_000+ rows in windows of 16-128 bars, 5-100 features)",
        network="huracan.models.networks.lstm:LSTMNetwork",
        defaults={**_SEQUENCE, "hidden": 64, "n_blocks": 1, "readout": "last"},
        meanings=_MEANINGS,
        aliases=_RECURRENT_ALIASES,
        search_space=_SEQUENCE_SPACE,
        market_regimes=_ORDER_MATTERS,
    ),
    network_learner(
        name="gru",
        purpose="Gated recurrent unit: an LSTM with three quarters of the weights, often as good on short windows.",
        ideal_dataset_shape="(10_000+ rows in windows of 16-128 bars, 5-100 features)",
        network="huracan.models.networks.gru:GRUNetwork",
        defaults={**_SEQUENCE, "hidden": 64, "n_blocks": 1, "readout": "last"},
        meanings=_MEANINGS,
        aliases=_RECURRENT_ALIASES,
        search_space=_SEQUENCE_SPACE,
        market_regimes=_ORDER_MATTERS,
    ),
    network_learner(
        name="transformer",
        purpose="Attention over patches of bars: any two moments of the window may speak to each other.",
        ideal_dataset_shape="(50_000+ rows in windows of 32-512 bars, 5-100 features)",
        network="huracan.models.networks.transformer:TransformerNetwork",
        defaults={
            **_SEQUENCE,
            "hidden": 64,
            "n_blocks": 2,
            "n_heads": 4,
            "expansion": 2,
            "readout": "mean_last",
        },
        meanings={
            **_MEANINGS,
            "n_heads": "attention heads of a block",
            "expansion": "how much wider the feed-forward part is inside",
        },
        aliases={"d_model": "hidden", "n_layers": "n_blocks", "num_heads": "n_heads"},
        search_space={**_SEQUENCE_SPACE, "n_blocks": Between(1, 3, whole=True)},
        market_regimes={
            MarketRegime.TRENDING: "relates a move to those it resembles further back",
            MarketRegime.VOLATILE: "attention goes to the few bars that mattered",
        },
    ),
)
