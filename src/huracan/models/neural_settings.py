"""Hyperparameters that every network has beside its own: the window, and the settings of the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "NEURAL_ALIASES",
    "NEURAL_DEFAULTS",
    "NEURAL_MEANINGS",
    "loop_settings",
    "network_arguments",
    "of_the_model",
    "window_scaling",
]

_LOOP: Mapping[str, Any] = {
    "max_epochs": 20,
    "batch_size": 256,
    "learning_rate": 1e-3,
    "weight_decay": 1e-2,
    "schedule": "cosine",
    "warmup_share": 0.05,
    "clip_norm": 1.0,
    "patience": 5,
    "averaging": 0.0,
    "accumulate": 1,
    "max_steps": None,
    "precision": "float32",
    "compile": False,
    "checkpoint_every": 500,
}

_OTHERS: Mapping[str, Any] = {
    "window": 32,
    "loss": None,
    "quantiles": None,
    "class_weight": None,
    "validation_share": 0.15,
    "embargo": 0,
    "label_horizon": 1,
    "warm_start": False,
    "device": "auto",
    "checkpoints": None,
    "verbose": 0,
}

NEURAL_DEFAULTS: Mapping[str, Any] = {**_OTHERS, **_LOOP}

_OF_THE_CALL = ("checkpoints", "verbose")

NEURAL_MEANINGS: Mapping[str, str] = {
    "window": "bars that a forecast sees, the row itself the last; where there are fewer, the forecast is the constant",
    "loss": "squared_error, huber or cross_entropy; none is squared_error, or cross_entropy for classes",
    "quantiles": "forecast these quantiles, ascending, by pinball loss; predict gives the median, predict_quantiles all",
    "class_weight": "'balanced', or class -> weight",
    "validation_share": "share of the time, at its end and purged, that says when to stop; 0 trains all epochs",
    "embargo": "bars left out between training and validation, beyond the labels' own",
    "label_horizon": "bars until a label is known, where X brings no times",
    "warm_start": "go on from the parameters of the last fit, whose scaling of inputs and target is kept",
    "device": "auto (CUDA where there is one), cpu, cuda, cuda:1, ...",
    "checkpoints": "folder for checkpoints, one in it for each training, which goes on after a kill; none writes nothing",
    "verbose": "1 logs every epoch at level info, to the logger 'huracan'; 0 at level debug",
    "max_epochs": "most passes over the training windows",
    "batch_size": "windows an optimizer step, over all devices together",
    "learning_rate": "of AdamW, at its highest",
    "weight_decay": "of AdamW, for matrices",
    "schedule": "cosine (falls to zero) or constant",
    "warmup_share": "share of all steps over which the rate rises from zero",
    "clip_norm": "norm the gradient is cut at; none leaves it",
    "patience": "epochs without a lower validation loss before stopping; none goes on",
    "averaging": "weight of the past in an average of the parameters that is used instead of the last ones; 0 is none",
    "accumulate": "pieces a batch is computed in, where it does not fit into memory",
    "max_steps": "most optimizer steps; none is no limit",
    "precision": "float32, float64, or bfloat16 (mixed: parameters stay float32)",
    "compile": "let torch.compile make kernels: minutes at first, needs a C++ compiler, dropout draws other numbers",
    "checkpoint_every": "steps between checkpoints",
}

NEURAL_ALIASES: Mapping[str, str] = {
    "epochs": "max_epochs",
    "lr": "learning_rate",
    "lookback": "window",
    "early_stopping_patience": "patience",
}


def loop_settings(params: Mapping[str, Any], seed: int) -> Any:
    """The part of a learner's hyperparameters that is the loop's."""
    from huracan.training.settings import LoopSettings

    return LoopSettings(seed=seed, **{name: params[name] for name in _LOOP})


def of_the_model(params: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters without what is of the machine and the moment of a fit, and no part of what came of it.

    >>> of_the_model({"window": 8, "checkpoints": "folder", "verbose": 1})
    {'window': 8, 'checkpoints': None, 'verbose': 0}
    """
    return {name: NEURAL_DEFAULTS[name] if name in _OF_THE_CALL else value for name, value in params.items()}


def network_arguments(params: Mapping[str, Any]) -> dict[str, Any]:
    """The part that is the network's own."""
    return {name: value for name, value in params.items() if name not in NEURAL_DEFAULTS}


def window_scaling(params: Mapping[str, Any]) -> str:
    """How the network takes a window's own level out of it, so that levels themselves say nothing; "none" where it does not."""
    return str(params.get("window_scaling", "none"))
