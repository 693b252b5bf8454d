"""Models without a label: a fit that does not end leaves the model that was there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from huracan.models.autoencoder.estimator import Autoencoder  # noqa: E402
from huracan.models.gan.estimator import ReturnGAN  # noqa: E402
from huracan.training.loop import TrainingLoop  # noqa: E402

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((600, 3)).astype(np.float32)
WINDOWS, REGIMES = RNG.standard_normal((400, 16)), ["ranging", "volatile"] * 200


@pytest.mark.parametrize("ending", [KeyboardInterrupt, MemoryError])
def test_a_refit_that_does_not_end_leaves_the_old_model_whole(monkeypatch: Any, ending: type[BaseException]) -> None:
    coder = Autoencoder(window=8, latent=2, hidden=8, cross_hidden=8, max_epochs=1).fit(ROWS)
    gan = ReturnGAN(window=16, hidden=8, critic_hidden=8, max_steps=6).fit(WINDOWS, REGIMES)
    before = [vars(coder).copy(), vars(gan).copy()]
    said = [coder.anomaly_score(ROWS), coder.transform(ROWS), gan.sample(5, "volatile"), gan.stress_scenarios(5, price=9.0)]

    def interrupted(loop: TrainingLoop) -> None:
        raise ending

    monkeypatch.setattr(TrainingLoop, "run", interrupted)
    with pytest.raises(ending):
        coder.fit(50.0 + 9.0 * ROWS[:, :2])
    with pytest.raises(ending):
        gan.fit(3.0 * WINDOWS, ["trending", "illiquid"] * 200)
    assert [vars(coder), vars(gan)] == before
    again = [coder.anomaly_score(ROWS), coder.transform(ROWS), gan.sample(5, "volatile"), gan.stress_scenarios(5, price=9.0)]
    for one, other in zip(said, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_refit_that_ends_is_that_of_a_new_model() -> None:
    settings: dict[str, Any] = {"window": 8, "latent": 2, "hidden": 8, "cross_hidden": 8, "max_epochs": 1}
    again = Autoencoder(**settings).fit(ROWS[:, :2]).fit(ROWS)
    np.testing.assert_array_equal(again.anomaly_score(ROWS), Autoencoder(**settings).fit(ROWS).anomaly_score(ROWS))
