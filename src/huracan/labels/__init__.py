"""What a model is asked to predict: labels with the moment they are known.

Every function takes candles and returns one row for every candle, in the candles' order:
``[symbol, ts, label, label_end, execution_return, weight, volatility]``. A label at t starts at ``open[t+1]``, the
first price a decision on bar t can trade at, and reads nothing at or after ``label_end`` but that bar's open.
"""

from huracan.labels.barriers import triple_barrier_labels
from huracan.labels.forward import forward_return_labels
from huracan.labels.meta import meta_labels
from huracan.labels.uniqueness import uniqueness_weights

__all__ = ["forward_return_labels", "meta_labels", "triple_barrier_labels", "uniqueness_weights"]
