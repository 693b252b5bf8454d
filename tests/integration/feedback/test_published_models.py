"""What the pointer names is in the tree that is shared: there before it is named, gone when nobody may name it any more."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.feedback.living import NAME, SmallRun, alive, opposite, same_again, turn

from huracan import Mechanic, UnifiedMLPipeline
from huracan.integration.feedback.answers import versions_wanted
from huracan.integration.feedback.publishing import MODELS
from huracan.registry.formats import load_model
from huracan.storage import ArtifactStore, from_json
from huracan.storage.feedback_tables import champion_trials

WEEK = 7 * 24


class _Killed(BaseException):
    """The process is gone."""


def _pointer(outbox: Path) -> dict[str, Any]:
    return from_json((outbox / "champion" / "latest.json").read_text())


def _pointed(outbox: Path) -> list[Path]:
    """Folders of the models that the pointer names, as a bot finds them that knows nothing but the tree."""
    told = _pointer(outbox)
    return [outbox / "champion" / told["models_from"] / path for path in told["models"].values()]


def _files(outbox: Path) -> dict[str, bytes]:
    return {str(file.relative_to(outbox)): file.read_bytes() for file in outbox.rglob("*") if file.is_file()}


def _digest(mechanic: Mechanic, version: int) -> str:
    return mechanic.pipeline.registry.get(NAME, version=version).digest


def _takes_over(mechanic: Mechanic, version: int) -> None:
    mechanic.pipeline.registry.promote(NAME, version, reason="by hand")


def test_a_bot_loads_the_champion_from_the_shared_tree_alone(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    model = mechanic.pipeline.registry.load(NAME, version=1)
    shutil.copytree(tmp_path / "home" / "outbox", tmp_path / "shared")
    shutil.rmtree(tmp_path / "home")
    folders = _pointed(tmp_path / "shared")
    assert len(folders) == 2 and len(set(folders)) == 1
    manifest, files = ArtifactStore(folders[0].parent.parent).read(folders[0].name)
    rows = np.load(folders[0] / "probe.npy")
    np.testing.assert_array_equal(load_model(files).predict(rows), model.predict(rows))
    assert {"recipe", "policy", "scale"} <= set(manifest["extras"])  # what it takes beside the model to make positions of it


def test_who_answered_before_stays_for_a_week_and_then_goes(champion: SmallRun, tmp_path: Path) -> None:
    mechanic, outbox = alive(champion, tmp_path / "home"), tmp_path / "home" / "outbox"
    shared = ArtifactStore(outbox / MODELS)
    turn(mechanic, champion, 0)
    old, new = _digest(mechanic, 1), None
    second = same_again(mechanic.pipeline.registry, NAME, opposite(mechanic.pipeline.registry, NAME, 1))
    new = _digest(mechanic, second)
    assert shared.digests() == [old]
    _takes_over(mechanic, second)
    turn(mechanic, champion, 1)
    assert {folder.name for folder in _pointed(outbox)} == {new} and shared.digests() == sorted([old, new])
    turn(mechanic, champion, 1 + WEEK)
    assert shared.digests() == sorted([old, new])
    turn(mechanic, champion, 2 + WEEK)
    assert shared.digests() == [new]
    _takes_over(mechanic, 1)  # one that went comes back before it is pointed at
    turn(mechanic, champion, 3 + WEEK)
    assert {folder.name for folder in _pointed(outbox)} == {old} and shared.digests() == sorted([old, new])


def test_to_whom_a_trial_may_roll_back_stays(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    shared = ArtifactStore(tmp_path / "home" / "outbox" / MODELS)
    turn(mechanic, champion, 0)
    second = opposite(mechanic.pipeline.registry, NAME, 1)
    _takes_over(mechanic, second)
    kept = {"name": NAME, "symbol": "", "regime": "", "version": second, "since": champion.end_of_training, "before_version": 1}
    trial = {**kept, "monitor": {}, "state": "on_trial", "reason": "by hand"}
    turn(mechanic, champion, 1)
    mechanic.works.database.run(lambda connection: connection.execute(champion_trials.insert().values(**trial)))
    with mechanic.works.database.reading() as connection:
        assert (NAME, 1) in versions_wanted(connection)
    assert set(shared.digests()) == {_digest(mechanic, 1), _digest(mechanic, second)}


_MOMENTS = {
    "before it is written": "huracan.storage.artifacts.written_aside",
    "before it has its name": "huracan.storage.artifacts.rename_unless_there",
    "before it is pointed at": "huracan.integration.feedback.publishing._put",
    "before the old one goes": "huracan.storage.artifacts.ArtifactStore.remove",
}


@pytest.mark.parametrize("moment", _MOMENTS)
def test_killed_at_any_moment_the_tree_ends_the_same_and_never_names_what_is_not_there(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    goes = moment == "before the old one goes"

    def die(*args: object, **named: object) -> None:
        raise _Killed

    def lived(home: Path, *, dies: bool) -> dict[str, bytes]:
        mechanic, outbox = alive(champion, home), home / "outbox"
        turn(mechanic, champion, 0)
        _takes_over(mechanic, opposite(mechanic.pipeline.registry, NAME, 1))
        if goes:
            turn(mechanic, champion, 1)
        last = 2 + WEEK if goes else 1
        if dies:
            with monkeypatch.context() as dying:
                dying.setattr(_MOMENTS[moment], die)
                with pytest.raises(_Killed):
                    turn(mechanic, champion, last)
            assert {folder.name for folder in _pointed(outbox)} <= set(ArtifactStore(outbox / MODELS).digests())
            mechanic = alive(champion, home)
        turn(mechanic, champion, last)
        return _files(outbox)

    undisturbed = lived(tmp_path / "undisturbed", dies=False)
    assert lived(tmp_path / "killed", dies=True) == undisturbed


def test_a_simulated_life_points_at_nobody_and_says_so(tmp_path: Path) -> None:
    pipeline = UnifiedMLPipeline(
        {
            "home": str(tmp_path),
            "features": {"recipe": "minimal"},
            "data": {"simulation": {"n_bars": 400, "n_symbols": 1}},
            "mechanic": {"learners": ["ridge"]},
            "retrain": {"min_new_rows": 72},
        }
    )
    report = Mechanic(pipeline, channels=()).tick()
    assert report.champions == {"champion": 1} and report.simulated
    assert "no candles are configured, the market is simulated: no champion is pointed at" in report.sentence
    assert not (tmp_path / "outbox" / "champion").exists() and not (tmp_path / "outbox" / MODELS).exists()
    assert (tmp_path / "outbox" / "heartbeats").is_dir()
