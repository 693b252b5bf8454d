"""Settings of many processes: what does not go together is said in one sentence, before anything is started."""

from __future__ import annotations

from typing import Any

import pytest

from huracan.catalogue import build_model
from huracan.distributed import DistributedConfig
from huracan.errors import ConfigError

pytest.importorskip("torch")

from huracan.distributed.axes import ParallelAxes
from huracan.models.networks import LSTMNetwork, PerceptronNetwork, TransformerNetwork
from huracan.training import LoopSettings, Phase


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"strategy": "fsdp"}, "unknown strategy 'fsdp'; did you mean 'fsdp2'?"),
        ({"schedule": "1f1d"}, "unknown schedule '1f1d'; did you mean '1f1b'?"),
        ({"processes": 0}, "processes is 0; a whole number from 1 was expected."),
        ({"processes": True}, "processes is True; a whole number from 1 was expected."),
        ({"timeout": 0.0}, "timeout is 0.0; seconds above 0 was expected."),
        ({"device": "tpu"}, "device is 'tpu'; 'auto', 'cpu' or 'cuda' was expected."),
        ({"strategy": "none"}, "the strategy is none, which is one process, not 2; choose ddp, say."),
        ({"tensor_parallel": 2}, "tensor_parallel is 2, but the strategy is ddp; it goes with tp and fsdp2_tp."),
        ({"micro_batches": 2}, "micro_batches is 2, but the strategy is ddp; it goes with pp."),
        ({"strategy": "tp", "tensor_parallel": 2, "processes": 4}, "tensor_parallel is 2 of 4 processes"),
        ({"strategy": "fsdp2_tp", "processes": 3}, "3 processes cannot be divided into groups of tensor_parallel = 2."),
        ({"hosts": 2}, "head is None; with 2 hosts, 'address:port' of the first one was expected."),
        ({"hosts": 2, "head": "10.0.0.1:29400"}, "local_address must be this host's address"),
        ({"hosts": 2, "head": "10.0.0.1:29400", "local_address": "10.0.0.2"}, "folder must be one that all of them share."),
        ({"fewest_hosts": 2}, "fewest_hosts is 2, more than the 1 host(s) there are."),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        DistributedConfig(**given)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ({"strategy": "ddp", "processes": 4}, (4, 1, 1)),
        ({"strategy": "tp", "processes": 4}, (1, 4, 1)),
        ({"strategy": "pp", "processes": 4}, (1, 1, 4)),
        ({"strategy": "fsdp2_tp", "processes": 4}, (2, 2, 1)),
        ({"strategy": "fsdp2_tp", "processes": 8, "tensor_parallel": 4}, (2, 4, 1)),
    ],
)
def test_the_axes_make_up_the_world(given: dict[str, Any], shape: tuple[int, int, int]) -> None:
    config = DistributedConfig(**given)
    axes = ParallelAxes.of(config, config.world)
    assert (axes.data, axes.tensor, axes.stages) == shape
    assert axes.world == config.world


def _axes(**given: Any) -> ParallelAxes:
    config = DistributedConfig(**given)
    return ParallelAxes.of(config, config.world)


def test_a_batch_is_divided_evenly_or_refused_with_one_that_can_be() -> None:
    with pytest.raises(ConfigError, match=r"batch_size is 256, .* by 3 \(processes that share a batch\); 255 can"):
        _axes(processes=3).check_batch(LoopSettings(batch_size=256))
    with pytest.raises(ConfigError, match=r"batch_size is 20, .* 4 \(micro-batches\) x 2 \(accumulate\); 16 can"):
        _axes(strategy="pp", processes=2, micro_batches=4).check_batch(LoopSettings(batch_size=20, accumulate=2))
    _axes(processes=4).check_batch(LoopSettings(batch_size=256, accumulate=4))


def test_a_recurrence_has_no_matrices_to_divide_and_the_refusal_says_why() -> None:
    with pytest.raises(ConfigError, match=r"matrices of LSTMNetwork cannot be divided .* the bar before it"):
        _axes(strategy="tp").check_network(LSTMNetwork(3, 8, 1))


def test_heads_and_columns_are_divided_whole() -> None:
    with pytest.raises(ConfigError, match=r"blocks.0.attention.query of TransformerNetwork has 4 heads, not divisible by 3"):
        _axes(strategy="tp", processes=3).check_network(TransformerNetwork(3, 8, 1, hidden=24))
    with pytest.raises(ConfigError, match=r"blocks.0.feed_forward.up of PerceptronNetwork has 18 columns, not divisible by 4"):
        _axes(strategy="tp", processes=4).check_network(PerceptronNetwork(3, 8, 1, hidden=18, expansion=1))
    _axes(strategy="tp", processes=4).check_network(TransformerNetwork(3, 8, 1))


def test_a_stage_has_a_block() -> None:
    with pytest.raises(ConfigError, match=r"LSTMNetwork has 1 block\(s\), too few for a pipeline of 2 stages"):
        _axes(strategy="pp").check_network(LSTMNetwork(3, 8, 1))
    from torch import nn

    with pytest.raises(ConfigError, match="Linear cannot be cut into stages"):
        _axes(strategy="pp").check_network(nn.Linear(1, 1))


def test_a_task_of_several_turns_is_for_one_process() -> None:
    class Turns:
        phases = (Phase("critic", None), Phase("generator", None))  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="ddp trains one loss at a time, and this task has turns of critic and gen"):
        _axes().check_task(Turns())
    _axes(strategy="none", processes=1).check_task(Turns())


def test_what_is_no_network_is_refused_before_anything_starts() -> None:
    from huracan.distributed import DistributedTrainer

    with pytest.raises(ConfigError, match="cannot be trained on many processes"):
        DistributedTrainer().fit(build_model("ridge"), [[0.0]], [0.0])
