"""The page about networks: its code runs, top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from huracan import TrainingSet, catalogue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "networks.md"


def test_the_code_of_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 4
    kept = dict(catalogue._LEARNERS)
    try:
        names: dict[str, object] = {"__name__": "page"}
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
        rows, mine = names["rows"], names["mine"]
        assert np.isfinite(catalogue.signal_score(mine, rows)).all()
        whole = TrainingSet.from_candles(names["candles"], recipe=names["recipe"])
        np.testing.assert_allclose(names["newest"], names["model"].predict(whole)[-2:], rtol=1e-4)  # as from all of history
    finally:
        catalogue._LEARNERS.clear()
        catalogue._LEARNERS.update(kept)
