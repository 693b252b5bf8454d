"""What an agent says each action is worth, written out: standardised windows, layers, and a head with the form folded in."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.registry.exports.graph import Graph, Rows
from huracan.registry.exports.networks import said_of_windows
from huracan.reinforcement.q_network import VALUE_CLIP, QNetwork
from huracan.reinforcement.rl_agent import DQNAgent
from huracan.reinforcement.values import Categorical, Quantiles

__all__ = ["action_values"]


def action_values(graph: Graph, rows: Rows, agent: DQNAgent) -> str:
    """Values (n, actions) of states (n, width), in the unit of the rewards, as ``predict`` gives them beside the action.

    What is allowed is nobody's business here: who acts takes the best of the actions that a mask leaves. Noisy layers have
    their mean weights; of distributions the graph tells what they expect.
    """
    network, learner = agent.to_parts()[1], agent.learner_
    assert isinstance(network, QNetwork)
    assert learner is not None
    read = _read(graph, rows, network)
    for layer in network.trunk:
        read = _affine(graph, read, *_of(layer)) if hasattr(layer, "weight") else graph.node("Relu", read)
    settings, scale, form = network.settings, agent.reward_scale_, learner.form
    weight, bias = _of_actions(network)
    if isinstance(form, Categorical):
        atoms = _affine(graph, read, weight.reshape(-1, weight.shape[-1]), bias.reshape(-1))
        shape = graph.constant([-1, settings.n_actions, settings.outputs], np.int64)
        chance = graph.node("Softmax", graph.node("Reshape", atoms, shape), axis=2)
        support = np.linspace(form.low, form.high, form.outputs)[:, None] / scale
        expected = graph.node("MatMul", chance, graph.constant(support))
        return graph.node("Squeeze", expected, graph.constant([2], np.int64))
    expected_of = np.mean if isinstance(form, Quantiles) else np.sum  # of one number
    said = _affine(graph, read, expected_of(weight, axis=1) / scale, expected_of(bias, axis=1) / scale)
    if not settings.level_columns or not network.believes:
        return said
    first, last = (network.shown + settings.level_columns[i] for i in (0, -1))
    prior = graph.constant(_plain(network.prior) / scale)
    return graph.node("Add", said, graph.node("MatMul", _columns(graph, rows, first, last + 1), prior))


def _read(graph: Graph, rows: Rows, network: QNetwork) -> str:
    """What the first layer reads: the window, standardised or what an encoder says of it, beside the account."""
    settings, shown = network.settings, network.shown
    if not shown or (not network.standardised and network.encoder is None):
        return rows.name
    market = _columns(graph, rows, 0, shown)
    by_bar = graph.constant([-1, settings.window, settings.n_features], np.int64)
    windows = graph.node("Reshape", market, by_bar)
    if network.standardised:
        centred = graph.node("Sub", windows, graph.constant(_plain(network.shift)))
        scaled = graph.node("Mul", centred, graph.constant(_plain(network.scale)))
        windows = graph.node("Clip", scaled, graph.constant(-VALUE_CLIP), graph.constant(VALUE_CLIP))
    if network.encoder is None:
        market = graph.node("Reshape", windows, graph.constant([-1, shown], np.int64))
    else:
        bars = replace(rows, columns=np.arange(settings.n_features), window=settings.window)
        market = said_of_windows(graph, windows, copy.deepcopy(network.encoder).cpu(), bars)
    if not settings.account_size:
        return market
    return graph.node("Concat", market, _columns(graph, rows, shown, shown + settings.account_size), axis=1)


def _of_actions(network: QNetwork) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (actions, outputs, width) and biases (actions, outputs) of the head; two streams of a dueling one are a sum."""
    settings = network.settings
    weight, bias = _of(network.advantage)
    weight = weight.reshape(settings.n_actions, settings.outputs, -1)
    bias = bias.reshape(settings.n_actions, settings.outputs)
    if network.value is None:
        return weight, bias
    of_state, level = _of(network.value)
    return weight - weight.mean(axis=0) + of_state, bias - bias.mean(axis=0) + level


def _columns(graph: Graph, rows: Rows, first: int, end: int) -> str:
    bounds = (graph.constant([edge], np.int64) for edge in (first, end, 1))
    return graph.node("Slice", rows.name, *bounds)


def _affine(graph: Graph, x: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
    return graph.node("Gemm", x, graph.constant(weight.T), graph.constant(bias))


def _of(layer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return _plain(layer.weight), _plain(layer.bias)


def _plain(tensor: Any) -> NDArray[np.float64]:
    return tensor.detach().numpy(force=True).astype(np.float64)
