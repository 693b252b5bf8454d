"""``TrainingSet``, the one object that travels from features to report, and how rows get into it.

``training_set.py`` says what it is, ``candle_rows.py`` and ``array_rows.py`` build it, ``row_keys.py`` reads which symbol and
time each given row is of, ``row_times.py`` what follows from times: bars, gaps, when labels are known.
"""

from huracan.dataset.array_rows import as_matrix
from huracan.dataset.candle_rows import Recipe
from huracan.dataset.row_keys import KEY_COLUMNS, RowKeys, TimeSource, require_same_index, split_keys
from huracan.dataset.steps import exit_times
from huracan.dataset.training_set import REGIME_ORDER, TrainingSet

__all__ = [
    "KEY_COLUMNS",
    "REGIME_ORDER",
    "Recipe",
    "RowKeys",
    "TimeSource",
    "TrainingSet",
    "as_matrix",
    "exit_times",
    "require_same_index",
    "split_keys",
]
