"""Networks in the main job: they look back beyond the span they answer on, and are kept, stored and served like others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huracan import UnifiedMLPipeline
from huracan.catalogue import signal_score
from huracan.config import LearnerConfig
from huracan.dataset import TrainingSet
from huracan.integration.out_of_fold import fit_learner, run_out_of_fold
from huracan.integration.plan import make_plan
from huracan.integration.preparation import prepare, read_source

GRU = {"window": 6, "max_epochs": 2, "hidden": 8, "learning_rate": 0.01}


def pipeline(home: Path, learners: dict[str, Any], **changes: Any) -> UnifiedMLPipeline:
    return UnifiedMLPipeline(
        {
            "home": str(home),
            "data": {"simulation": {"n_symbols": 2, "n_bars": 700, "signal_strength": 2.0}},
            "features": {"recipe": "minimal"},
            "profiles": {"small": {"n_splits": 2, "learners": learners}},
            "profile": "small",
            **changes,
        }
    )


def test_the_result_does_not_depend_on_the_cores(tmp_path: Path) -> None:
    learners = {"majority": {}, "gru": {"params": GRU}, "transformer": {"params": {**GRU, "patch": 2, "n_heads": 2}}}
    one, two = (
        pipeline(tmp_path / str(n), learners, training={"n_jobs": n}, validation={"hold_out_share": 0.2}).run() for n in (1, 2)
    )
    assert one.result_hash == two.result_hash
    board = one["evaluation"]["leaderboard"]
    assert set(board["learner"]) == {"majority", "gru", "transformer"}
    assert board.filter(learner="gru")["skill"].is_not_null().all()


def test_the_first_rows_of_a_fold_are_answered_with_the_bars_before_it(tmp_path: Path) -> None:
    config = pipeline(tmp_path, {"gru": {"params": GRU}}).config
    rows = prepare(config, read_source(config, None)).everything
    plan = make_plan(config, rows)
    run = run_out_of_fold(plan, config.active_profile.learners, per_symbol=False, seed=0, n_jobs=1)["gru"]
    assert run.failure is None
    span = plan.spans[1]
    fitted = fit_learner("gru", LearnerConfig(params=GRU), plan.development.take(plan.folds[1].train_rows), seed=0)
    model = fitted.models[None]
    behind = plan.rows.take(slice(span.start - 200, span.stop))
    expected = model.predict(behind)[200:] - fitted.levels[None]
    np.testing.assert_allclose(run.score[span], expected, rtol=0, atol=1e-7)
    assert len(np.unique(run.score[span][:4])) == 4, "no constant where there is history"


@pytest.mark.parametrize("per_symbol", [False, True])
def test_one_model_or_one_a_symbol(tmp_path: Path, per_symbol: bool) -> None:
    config = pipeline(tmp_path, {"gru": {"params": GRU}}).config
    rows: TrainingSet = make_plan(config, prepare(config, read_source(config, None)).everything).rows
    fitted = fit_learner(
        "gru", LearnerConfig(params=GRU), rows.take(slice(0, 900)).labelled_only(), seed=0, per_symbol=per_symbol
    )
    expected = np.zeros(len(rows))
    for symbol, model in fitted.models.items():
        mine = slice(None) if symbol is None else rows.symbol_code == rows.symbols.index(symbol)
        expected[mine] = signal_score(model, rows.take(mine))
    np.testing.assert_allclose(fitted.raw_score(rows, slice(901, 960)), expected[901:960], rtol=0, atol=1e-7)
