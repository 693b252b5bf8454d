"""Names that people ask for and that no recipe takes, because each value would know the future: why, and what to use."""

from __future__ import annotations

__all__ = ["REFUSED", "refusal_of"]

_TRENDS = "ema_trend, hodrick_prescott, local_level, haar or fractional_difference"

_SMOOTHERS = {
    "STL": ("stl", "mstl", "stl_trend", "stl_seasonal", "stl_remainder", "stl_decomposition"),
    "seasonal decomposition by centred averages": ("seasonal_decompose", "seasonal_decomposition"),
    "the two-sided Hodrick-Prescott filter": ("hp_filter", "hpfilter", "hp_two_sided", "hodrick_prescott_two_sided"),
    "the Baxter-King filter": ("bk_filter", "bkfilter", "baxter_king"),
    "the Christiano-Fitzgerald filter": ("cf_filter", "cffilter", "christiano_fitzgerald"),
    "a Fourier filter": ("fft", "fft_filter", "fourier_filter", "fourier_trend"),
    "wavelet denoising": ("dwt", "wavelet_denoise", "wavelet_trend"),
    "the Savitzky-Golay filter": ("savgol", "savgol_filter", "savitzky_golay"),
    "filtering forwards and backwards": ("filtfilt", "zero_phase_filter"),
    "local regression": ("lowess", "loess", "local_regression"),
    "a centred moving average": ("centered_sma", "centred_sma", "centered_moving_average", "centred_moving_average"),
    "empirical mode decomposition": ("emd", "eemd", "ceemdan", "vmd"),
    "the Kalman smoother": ("kalman_smoother", "kalman_smooth"),
}

REFUSED: dict[str, str] = {name: what for what, names in _SMOOTHERS.items() for name in names}
"""Name -> what it stands for."""


def refusal_of(name: str) -> str | None:
    """The sentence for a name that is refused, else None.

    >>> refusal_of("stl")[:68]
    "indicator 'stl' is refused: STL smooths every value with later ones,"
    >>> refusal_of("rsi") is None
    True
    """
    what = REFUSED.get(name.lower())
    if what is None:
        return None
    return (
        f"indicator '{name}' is refused: {what} smooths every value with later ones, so its features know the future (STL's "
        f"remainder forecasts a pure random walk with an AUC of .62); use {_TRENDS}, which know only the past, and "
        "decompose_for_viewing to look at data."
    )
