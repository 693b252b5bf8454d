"""What is unusual or wrong in candles: counted, located, said in a sentence, never repaired.

``quality_report`` takes clean candles and raw files alike; ``read_as_found`` is the reading it does before, which refuses
next to nothing and counts everything it could not use.
"""

from __future__ import annotations

from huracan.preprocessing.quality.as_found import FoundCandles, read_as_found
from huracan.preprocessing.quality.findings import QualityCheck, Severity
from huracan.preprocessing.quality.report import QualityReport, quality_report

__all__ = ["FoundCandles", "QualityCheck", "QualityReport", "Severity", "quality_report", "read_as_found"]
