"""From a new candle to a signal: the champion, its features, its veto."""

from huracan.serving.champions import Champions
from huracan.serving.predictor import Predictor
from huracan.serving.signal import Signal, Veto, VetoKind
from huracan.serving.sketch import SKETCH_FILE, TrainingSketch

__all__ = ["SKETCH_FILE", "Champions", "Predictor", "Signal", "TrainingSketch", "Veto", "VetoKind"]
