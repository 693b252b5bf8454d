"""Everything joined: :class:`UnifiedMLPipeline` and what it is made of."""

from huracan.integration.results import PipelineResult, not_run
from huracan.integration.unified_pipeline import UnifiedMLPipeline

__all__ = ["PipelineResult", "UnifiedMLPipeline", "not_run"]
