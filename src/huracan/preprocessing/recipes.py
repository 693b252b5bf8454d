"""The shipped recipes, written out."""

from __future__ import annotations

from huracan.preprocessing.spec import FeatureSpec, feature

__all__ = ["DEFAULT", "MINIMAL"]

DEFAULT: tuple[FeatureSpec, ...] = (
    *(feature("log_return_scaled", horizon=h) for h in (1, 2, 3, 6, 12, 24, 48)),
    feature("return_rank", horizon=1, window=96),
    feature("return_skew", window=72),
    feature("return_autocorrelation", window=48),
    feature("volatility_level", estimator="parkinson", window=12),
    feature("volatility_level", estimator="realised", window=24),
    feature("volatility_level", estimator="garman_klass", window=96),
    feature("volatility_zscore", estimator="realised", window=12, long_window=168),
    feature("volatility_ratio", estimator="realised", window=6, long_window=48),
    feature("volatility_ratio", estimator="parkinson", window=12, long_window=96),
    feature("volatility_ratio", estimator="garman_klass", window=24, long_window=168),
    feature("atr_ratio", window=14, long_window=96),
    *(feature("sma_distance", window=n) for n in (24, 96)),
    *(feature("ema_distance", window=n) for n in (12, 48)),
    feature("macd_scaled"),
    feature("adx_scaled", window=14),
    feature("efficiency_ratio", window=24),
    feature("directional_efficiency", window=48),
    *(feature("rsi_scaled", window=n) for n in (6, 14)),
    feature("bollinger_scaled", window=20),
    feature("stochastic_scaled", window=14),
    feature("cci_scaled", window=20),
    feature("volume_zscore", window=48),
    feature("volume_ratio", window=6, long_window=48),
    feature("volume_ratio", window=24, long_window=168),
    feature("signed_volume", window=12),
    feature("volume_weighted_return", window=24),
    feature("amihud", window=24, long_window=168),
    feature("candle_shape"),
    feature("range_position", window=48),
    feature("high_distance", window=48),
    feature("low_distance", window=48),
)

MINIMAL: tuple[FeatureSpec, ...] = (
    *(feature("log_return_scaled", horizon=h) for h in (1, 6, 24)),
    feature("volatility_ratio", window=12, long_window=48),
    feature("sma_distance", window=24),
    feature("rsi_scaled", window=14),
    feature("volume_ratio", window=6, long_window=48),
    feature("range_position", window=24),
)
