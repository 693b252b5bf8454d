"""Detectors that take a stream one number at a time and say when its mean, or its rate of errors, has changed."""

from huracan.mlops.streaming.adwin import Adwin
from huracan.mlops.streaming.cusum import Cusum
from huracan.mlops.streaming.ddm import DDM
from huracan.mlops.streaming.detector import Direction, StreamingDetector
from huracan.mlops.streaming.page_hinkley import PageHinkley
from huracan.mlops.streaming.run_length import Calibration

__all__ = ["DDM", "Adwin", "Calibration", "Cusum", "Direction", "PageHinkley", "StreamingDetector"]
