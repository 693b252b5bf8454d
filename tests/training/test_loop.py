"""The loop: resumed, divided and weighted trainings are the same training; what goes wrong is said."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from huracan.errors import ArtifactError, ModelError
from huracan.training import (
    Batch,
    CheckpointFolder,
    LoopSettings,
    Phase,
    Supervised,
    TrainingLoop,
    TrainingResult,
    WindowTable,
)
from huracan.training.identity import identity_of
from huracan.training.objectives import Pinball, cross_entropy, huber_loss, squared_error


def windows(n: int = 200, weight: torch.Tensor | None = None, *, seed: int = 0, noise: float = 0.1) -> WindowTable:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=draw, dtype=torch.float64)
    y = x[:, :1] - 2.0 * x[:, 1:2] + noise * torch.randn(n, 1, generator=draw, dtype=torch.float64)
    return WindowTable(x, torch.arange(n, dtype=torch.int32), 1, y=y, weight=weight)


def network(seed: int = 0, dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))


def trained(
    net: nn.Module | None = None,
    train: WindowTable | None = None,
    validation: WindowTable | None = None,
    folder: Path | None = None,
    task: Any = None,
    **changes: Any,
) -> tuple[nn.Module, TrainingResult]:
    net = network() if net is None else net
    chosen = {"max_epochs": 6, "batch_size": 32, "learning_rate": 0.01, "precision": "float64", **changes}
    result = TrainingLoop(
        net,
        task or Supervised(squared_error),
        windows() if train is None else train,
        validation,
        settings=LoopSettings(**chosen),
        checkpoints=None if folder is None else CheckpointFolder(folder),
    ).run()
    return net, result


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_one_step_is_adamw_on_the_mean_loss_as_pytorch_writes_it() -> None:
    """Against a loop written out by hand, over the very same batches."""
    from huracan.training.schedule import epoch_order

    data, hand = windows(), network().double()
    settings = {"lr": 0.01, "betas": (0.9, 0.999)}
    matrices = [p for p in hand.parameters() if p.ndim > 1]
    others = [p for p in hand.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.01}, {"params": others, "weight_decay": 0}], **settings
    )
    losses = []
    for epoch in range(3):
        for rows in epoch_order(200, 5, epoch).split(32):
            optimizer.zero_grad()
            loss = (hand(data.batch(rows).x) - data.y[rows]).square().mean()  # type: ignore[index]
            loss.backward()
            nn.utils.clip_grad_norm_(hand.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
    ours, result = trained(schedule="constant", warmup_share=0.0, max_epochs=3, seed=5)
    assert result.step_losses == pytest.approx(losses, rel=1e-12)
    for p, q in zip(ours.parameters(), hand.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_the_same_seed_gives_the_same_bits_and_leaves_the_stream_of_others_alone() -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    first, one = trained(network(dropout=0.3))
    torch.manual_seed(1)
    second, two = trained(network(dropout=0.3))
    assert same(first, second)
    assert one.step_losses == two.step_losses
    torch.manual_seed(9)
    trained(copy.deepcopy(first))
    assert torch.equal(torch.rand(3), expected)
    assert trained(network(dropout=0.3), seed=1)[1].step_losses != one.step_losses


def test_pieces_of_a_batch_are_the_batch() -> None:
    whole, _ = trained()
    pieces, _ = trained(accumulate=4)
    for p, q in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)


def test_a_weight_of_two_counts_like_a_row_given_twice() -> None:
    data = windows(40)
    twice = torch.cat([torch.arange(40), torch.arange(20)])
    weight = torch.ones(40, dtype=torch.float64)
    weight[:20] = 2.0
    weighed = WindowTable(data.table, data.last, 1, y=data.y, weight=weight)
    plain, _ = trained(train=data.take(twice), batch_size=60)
    heavy, _ = trained(train=weighed, batch_size=40)
    for p, q in zip(plain.parameters(), heavy.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


def test_every_window_is_seen_once_an_epoch() -> None:
    seen: list[int] = []

    def losses(net: nn.Module, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        assert batch.condition is not None
        seen.extend(batch.condition.tolist())
        return net(batch.x)[:, 0].square()

    class Task:
        phases = (Phase("train", losses),)
        validation = None
        constant_loss = staticmethod(lambda windows: None)

    data = windows(70)
    trained(train=WindowTable(data.table, data.last, 1, condition=torch.arange(70)), task=Task(), max_epochs=3, batch_size=32)
    del seen[:2]  # the loop first tries whether a network draws random numbers
    assert [sorted(seen[i : i + 70]) for i in (0, 70, 140)] == [list(range(70))] * 3


def test_a_killed_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    validation, net = windows(60, seed=1), network(dropout=0.2)
    straight, undisturbed = trained(net, validation=validation, averaging=0.9)

    class Killed(Exception):
        pass

    def kill(record: Any) -> None:
        if record.epoch == 4:
            raise Killed

    settings = LoopSettings(
        max_epochs=6, batch_size=32, learning_rate=0.01, precision="float64", averaging=0.9, checkpoint_every=5
    )
    first = TrainingLoop(
        network(dropout=0.2), Supervised(squared_error), windows(), validation, settings=settings,
        checkpoints=CheckpointFolder(tmp_path), on_epoch=kill,
    )  # fmt: skip
    with pytest.raises(Killed):
        first.run()
    again, resumed = trained(network(dropout=0.2), validation=validation, folder=tmp_path, averaging=0.9, checkpoint_every=5)
    assert resumed.resumed_from == 25
    assert same(straight, again)
    assert resumed.step_losses == undisturbed.step_losses
    assert resumed.validation_losses == undisturbed.validation_losses
    assert (resumed.best_epoch, resumed.best_loss) == (undisturbed.best_epoch, undisturbed.best_loss)


def test_a_network_that_no_epoch_makes_better_stays_as_it_came() -> None:
    """Pure noise whose validation part says the opposite: every step is one away from it."""
    data = windows(noise=0.0)
    opposite = replace(windows(100, seed=3, noise=0.0), y=-windows(100, seed=3, noise=0.0).y)
    untouched = network().double()
    net, result = trained(validation=opposite, patience=2)
    assert same(net, untouched)
    assert (result.best_epoch, result.best_loss) == (0, result.start_loss)
    assert result.best_loss < min(result.validation_losses)
    assert len(result.history) == 3  # patience counts from the lowest epoch, not from the start
    errors = (untouched(opposite.batch(torch.arange(100)).x) - opposite.y).detach().square()
    assert float(errors.mean()) == pytest.approx(result.best_loss)
    again, warm = trained(trained(train=data)[0], validation=opposite, patience=2)
    assert warm.best_epoch == 0 and not same(again, untouched)


def test_the_loss_of_an_epoch_is_the_mean_over_its_windows() -> None:
    """33 windows in batches of 32 at a rate of almost nothing: the last one is a thirty-third, not a half."""
    data, weighted = windows(33), windows(33, torch.rand(33, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    for rows, weight in ((data, torch.ones(33, dtype=torch.float64)), (weighted, weighted.weight)):
        net, result = trained(train=rows, learning_rate=1e-14, max_epochs=1)
        losses = (net(rows.batch(torch.arange(33)).x) - rows.y).detach().square().mean(dim=1)
        assert result.losses[0] == pytest.approx(float((losses * weight).sum() / weight.sum()), rel=1e-9)


def test_the_best_epoch_is_kept_and_patience_ends_it() -> None:
    noisy = windows(40, noise=3.0)
    _, result = trained(train=noisy, validation=windows(200, seed=2, noise=3.0), max_epochs=300, patience=4, learning_rate=0.05)
    assert result.best_epoch == len(result.history) - 4
    assert result.best_loss == min(result.validation_losses)
    assert result.stopped == "no lower validation loss for 4 epochs"


def test_what_is_validated_is_what_is_kept() -> None:
    validation = windows(100, seed=1)
    net, result = trained(validation=validation, averaging=0.9)
    with torch.no_grad():
        error = (net(validation.table[:, None]) - validation.y).square().mean()  # type: ignore[operator]
    assert float(error) == pytest.approx(result.best_loss, rel=1e-12)


def test_phases_take_turns_and_change_only_their_own_parameters() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 1), nn.Linear(3, 1)

    def losses(which: str) -> Any:
        return lambda net, batch, generator: (getattr(net, which)(batch.x[:, 0]) - batch.y).square()[:, 0]

    class Task:
        phases = (
            Phase("first", losses("a"), lambda net: net.a.parameters(), steps=2),  # type: ignore[union-attr]
            Phase("second", losses("b"), lambda net: net.b.parameters(), learning_rate=1e-9),  # type: ignore[union-attr]
        )
        validation = None
        constant_loss = staticmethod(lambda windows: None)

    torch.manual_seed(0)
    pair = Pair().double()
    before = copy.deepcopy(pair)
    _, result = trained(pair, task=Task(), max_epochs=4, weight_decay=0.0)
    assert set(result.history[0].losses) == {"first", "second"}
    assert not torch.equal(pair.a.weight, before.a.weight)
    torch.testing.assert_close(pair.b.weight, before.b.weight, rtol=0, atol=1e-7)


def test_an_exploding_loss_keeps_the_last_good_epoch_and_says_so() -> None:
    data = windows()
    _, calm = trained(max_epochs=2)

    def bad_after(net: nn.Module, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        scale = 1.0 if bad_after.calls < 14 else float("inf")  # type: ignore[attr-defined]
        bad_after.calls += 1  # type: ignore[attr-defined]
        return (net(batch.x) - batch.y).square()[:, 0] * scale  # type: ignore[operator]

    bad_after.calls = -1  # type: ignore[attr-defined]  # the first call is a trial and no step

    class Task:
        phases = (Phase("train", bad_after),)
        validation = None
        constant_loss = staticmethod(lambda windows: None)

    net, result = trained(train=data, task=Task())
    assert result.exploded
    assert result.best_epoch == 2
    assert (
        "exploded: at step 15 (epoch 3) the loss or its gradient left all bounds; the parameters of epoch 2" in result.stopped
    )
    assert all(torch.isfinite(p).all() for p in net.parameters())
    assert len(calm.history) == 2
    with pytest.raises(ModelError, match=r"training exploded: at step 1 \(epoch 1\).*lower learning_rate"):
        trained(train=WindowTable(data.table, data.last, 1, y=data.y * float("inf")))  # type: ignore[operator]


def test_a_rare_event_is_no_explosion() -> None:
    """Nearly all batches have a loss near nothing, some a thousand times that; the constant forecast has it too."""
    data = windows(4_000)
    y = torch.full((4_000, 1), -0.03, dtype=torch.float64)
    y[2_345:2_348] = 36.0  # standardised: mean 0, variance about 1
    rare = WindowTable(data.table, data.last, 1, y=y)
    _, result = trained(train=rare, batch_size=8, max_epochs=2)
    assert not result.exploded
    late = WindowTable(data.table, data.last, 1, y=y)
    assert not trained(validation=late, batch_size=32, max_epochs=2)[1].exploded


@pytest.mark.parametrize("drawing", [nn.Dropout(0.2), nn.AlphaDropout(0.2), nn.Dropout1d(0.2), "function"])
def test_whatever_a_network_draws_comes_from_the_seed(drawing: Any) -> None:
    class Drawing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.drawing = nn.Linear(3, 8), nn.Linear(8, 1), drawing if drawing != "function" else None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.a(x[:, 0])
            x = nn.functional.dropout(x, 0.2, self.training) if self.drawing is None else self.drawing(x)
            return self.b(x)

    def once(stream: int) -> list[float]:
        torch.manual_seed(0)
        net = Drawing()
        torch.manual_seed(stream)
        return trained(net, max_epochs=2)[1].step_losses

    assert once(1) == once(2)


def test_a_batch_without_weight_changes_nothing() -> None:
    weight = torch.zeros(200, dtype=torch.float64)
    weight[3] = 1.0
    net, result = trained(train=windows(weight=weight), batch_size=10, max_epochs=2)
    assert sum(loss != 0.0 for loss in result.step_losses) == 2
    assert all(torch.isfinite(p).all() for p in net.parameters())


def test_throughput_counts_the_windows_that_were_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    now = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(now)))
    _, result = trained(batch_size=150, max_epochs=3)
    assert [record.windows_per_second for record in result.history] == [200.0] * 3


def test_a_growing_loss_is_stopped_before_it_is_infinite() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    with pytest.raises(ModelError, match="left all bounds"):
        trained(linear, learning_rate=1e4, schedule="constant", clip_norm=None, max_epochs=30)


@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "no manifest", "empty manifest", "not all in the manifest", "no progress"]
)
def test_a_damaged_checkpoint_is_passed_over_and_the_one_before_it_used(tmp_path: Path, damage: str) -> None:
    trained(folder=tmp_path, checkpoint_every=10, max_epochs=3)
    newest = sorted(tmp_path.iterdir())[-1]
    shard = next(newest.glob("*.distcp"))
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif damage == "flipped":
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
    elif damage == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        manifest = json.loads((newest / "manifest.json").read_bytes())
        if damage == "empty manifest":
            manifest = {}
        elif damage == "a shard not in it":
            del manifest[shard.name]
        else:  # whole, as its hash says, and of nobody's making
            (newest / "progress.json").write_text(json.dumps({"step": 21, "losses": {}}))
            manifest["progress.json"] = sha256((newest / "progress.json").read_bytes()).hexdigest()
        (newest / "manifest.json").write_text(json.dumps(manifest))
    straight, _ = trained(max_epochs=3)
    again, result = trained(folder=tmp_path, checkpoint_every=10, max_epochs=3)
    assert result.resumed_from == 20
    assert same(straight, again)
    for folder in tmp_path.glob("step-*"):
        (folder / "manifest.json").unlink(missing_ok=True)
    with pytest.raises(ArtifactError, match=r"no checkpoint in .* can be used"):
        trained(folder=tmp_path, checkpoint_every=10, max_epochs=3)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    trained(folder=tmp_path, max_epochs=2)
    wider = nn.Sequential(nn.Flatten(), nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))
    with pytest.raises(ModelError, match="step-00000014 is a checkpoint of another training"):
        trained(wider, folder=tmp_path, max_epochs=2)
    with pytest.raises(ModelError, match="of another training"):
        trained(folder=tmp_path, max_epochs=2, learning_rate=0.5)
    with pytest.raises(ModelError, match="of another training"):
        trained(train=windows(seed=5), folder=tmp_path, max_epochs=2)
    with pytest.raises(ModelError, match="of another training"):
        trained(network(seed=9), folder=tmp_path, max_epochs=2)
    with pytest.raises(ModelError, match="of another training"):
        trained(task=Supervised(Pinball((0.9,))), folder=tmp_path, max_epochs=2)


def test_pieces_of_a_batch_are_of_a_training_where_its_network_draws_for_each(tmp_path: Path) -> None:
    """Without dropout four pieces and one differ by rounding, and go on from each other; with it they are two trainings."""
    (tmp_path / "calm").mkdir()
    calm, _ = trained(max_epochs=2, folder=tmp_path / "calm")
    again, result = trained(max_epochs=2, folder=tmp_path / "calm", accumulate=4)
    assert result.resumed_from == 14 and same(calm, again)

    def drawing() -> nn.Module:  # twice a pass: in pieces the two have turns
        return nn.Sequential(nn.Dropout(0.2), network(dropout=0.2))

    whole, pieces = drawing(), drawing()
    trained(whole, max_epochs=2, folder=tmp_path / "drawing")
    trained(pieces, max_epochs=2, accumulate=4)
    assert not any(torch.allclose(a, b, rtol=1e-3) for a, b in zip(whole.parameters(), pieces.parameters()))
    with pytest.raises(ModelError, match="of another training"):
        trained(drawing(), max_epochs=2, folder=tmp_path / "drawing", accumulate=4)


def test_a_job_of_dropout_is_known_by_its_pieces_and_one_without_is_not() -> None:
    from huracan.training.job import NetworkRecipe, TrainingJob

    def told(drawing: float, accumulate: int) -> str:
        sizes = {"n_features": 3, "window": 1, "n_outputs": 1, "hidden": 4, "dropout": drawing}
        recipe = NetworkRecipe("huracan.models.networks.perceptron:PerceptronNetwork", sizes)
        settings = LoopSettings(batch_size=8, accumulate=accumulate)
        return TrainingJob(recipe, "squared_error", windows(), None, settings).identity()

    assert told(0.0, 1) == told(0.0, 4)
    assert told(0.1, 1) != told(0.1, 4)


def test_a_task_is_known_by_what_it_says_and_not_by_where_it_lies_in_memory() -> None:
    def told(task: Any) -> str:
        return identity_of([task], windows(), None, {})

    tasks = [Supervised(squared_error), Supervised(huber_loss), Supervised(Pinball((0.1,))), Supervised(Pinball((0.9,)))]
    assert len({told(task) for task in tasks}) == len(tasks)
    assert told(Supervised(Pinball((0.9,)))) == told(tasks[-1])


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed import checkpoint as sharded
    from torch.distributed.checkpoint.api import CheckpointException

    from huracan.errors import StorageError

    save = sharded.save

    def full(state: Any, *, checkpoint_id: Path, **options: Any) -> Any:
        if "00000020" in checkpoint_id.name:
            checkpoint_id.joinpath("half").write_bytes(b"x")
            raise CheckpointException("write", {0: (OSError(28, "No space left on device"), None)})  # type: ignore[dict-item]
        return save(state, checkpoint_id=checkpoint_id, **options)

    monkeypatch.setattr(sharded, "save", full)
    with pytest.raises(StorageError, match="step-00000020 cannot be written: the disk is full"):
        trained(folder=tmp_path, checkpoint_every=10, max_epochs=4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "losses.f64", "step-00000010"]
    monkeypatch.undo()
    straight, _ = trained(max_epochs=4)
    again, result = trained(folder=tmp_path, checkpoint_every=10, max_epochs=4)
    assert result.resumed_from == 10
    assert same(straight, again)


def test_two_trainings_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huracan.errors import StorageError
    from huracan.storage import folder_lock
    from huracan.training.runtime import Runtime

    monkeypatch.setattr(folder_lock, "PATIENCE", 0.2)
    with CheckpointFolder(tmp_path).held(Runtime()), pytest.raises(StorageError, match="in use by another training"):
        trained(folder=tmp_path, max_epochs=2)
    assert trained(folder=tmp_path, max_epochs=2)[1].resumed_from is None


def test_a_checkpoint_left_half_written_is_no_checkpoint(tmp_path: Path) -> None:
    trained(folder=tmp_path, max_epochs=2)
    whole = next(tmp_path.glob("step-*"))
    shutil.copytree(whole, tmp_path / ".step-00000099.aside")
    assert CheckpointFolder(tmp_path).newest().step == 14  # type: ignore[union-attr]


def test_losses_against_pytorchs_own() -> None:
    draw = torch.Generator().manual_seed(0)
    output, y = torch.randn(9, 4, generator=draw), torch.randn(9, 4, generator=draw)
    assert squared_error(output, y).mean() == pytest.approx(float(nn.MSELoss()(output, y)), rel=1e-6)
    codes = torch.randint(4, (9,), generator=draw)
    assert cross_entropy(output, codes).mean() == pytest.approx(float(nn.CrossEntropyLoss()(output, codes)), rel=1e-6)


def test_pinball_loss_is_lowest_at_the_quantile() -> None:
    y = torch.randn(20_001, 1, generator=torch.Generator().manual_seed(0))
    exact = torch.quantile(y[:, 0], torch.tensor([0.1, 0.5]))
    loss = Pinball((0.1, 0.5))
    at = loss(exact.expand(len(y), 2), y).mean()
    for shift in ([0.02, 0.0], [-0.02, 0.0], [0.0, 0.02], [0.0, -0.02]):
        assert loss((exact + torch.tensor(shift)).expand(len(y), 2), y).mean() > at


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"schedule": "step"}, "'cosine'"),
        ({"precision": "float16"}, "'bfloat16'"),
        ({"warmup_share": 1.0}, "warmup_share is 1.0"),
        ({"patience": 0}, "patience is 0"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0"),
        ({"averaging": 1.0}, "averaging is 1.0"),
        ({"max_epochs": True}, "max_epochs is True"),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        LoopSettings(**settings)
