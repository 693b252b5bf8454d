"""Settings of the feedback loop: when data count as drifted, when a model is trained anew, and how the Mechanic works."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from huracan.config.section import Duration, Rows, Section, UserPath, milliseconds, without_twins

__all__ = ["DriftConfig", "MechanicConfig", "RetrainConfig"]

_WATCHED, _FEWEST_WATCHED = 14 * 86_400_000, 500


class DriftConfig(Section):
    """When features count as drifted: the newest window against the reference kept with a model."""

    alpha: float = Field(
        0.05,
        gt=0.0,
        lt=0.5,
        description="Share of false alarms among what a report calls drifted; where nothing drifted, how often it says so.",
    )
    correction: Literal["fdr_by", "fdr_bh", "holm", "bonferroni", "hochberg"] = Field(
        "fdr_by", description="Correction for having tested many features; fdr_by holds however they depend on each other."
    )
    dependence: Literal["auto", "independent"] = Field(
        "auto", description="auto holds for rows that remember and for clustered volatility; independent takes rows as drawn."
    )
    n_cosines: int = Field(
        28,
        ge=8,
        le=1_000,
        description="Most cosines that measure the reference's memory: more find more, and alarm more in storms.",
    )
    multivariate: bool = Field(True, description="Whether all features together are tested too.")
    reference: Duration = Field("28d", description="Newest stretch of a model's own rows that is kept as its reference.")
    window: Duration = Field("7d", description="Newest stretch that is held against it; whole days see all hours alike.")
    check_every: Duration = Field("1d", description="How often the Mechanic looks.")


class RetrainConfig(Section):
    """When the Mechanic trains a challenger: skill decides, data drift informs."""

    skill: bool = Field(True, description="Whether a champion whose skill fell, or has none, asks for a challenger.")
    data_drift: Literal["never", "with_prediction", "alone"] = Field(
        "with_prediction",
        description="Whether drifted features ask for one: never, where predictions drift as well, or alone; "
        "weeks of real markets differ without harm, so that alone trains often.",
    )
    persistence: int = Field(2, ge=1, le=1_000, description="Looks in a row that must say the same.")
    cool_down: Duration = Field("2d", description="Time after a challenger until the next may be asked for.")
    min_new_rows: int = Field(250, ge=1, le=100_000_000, description="Labelled rows since the change that a challenger needs.")
    budget: int = Field(8, ge=1, le=1_000_000, description="Most challengers within budget_window.")
    budget_window: Duration = Field("30d", description="Stretch in which the budget counts.")
    max_age: Duration | None = Field(
        "14d", description="Age of a champion's newest label that asks for a challenger; none for never."
    )
    doubling: bool = Field(False, description="Whether twice as many rows since the last change ask for one, too.")

    def in_bars(self, bar: int) -> dict[str, Any]:
        """The settings as :class:`huracan.mlops.RetrainPolicy` takes them, stretches of time in bars.

        Parameters
        ----------
        bar : length of a bar, in milliseconds.

        Examples
        --------
        >>> RetrainConfig().in_bars(3_600_000)["cool_down_bars"]
        48
        """
        stretches = {"cool_down": self.cool_down, "budget_window": self.budget_window, "max_age": self.max_age}
        others = self.model_dump(exclude=set(stretches))
        return others | {f"{name}_bars": None if t is None else -(-milliseconds(t) // bar) for name, t in stretches.items()}


class MechanicConfig(Section):
    """How the Mechanic works: what it watches, how it trains challengers, and when one takes over."""

    name: str | None = Field(
        None, min_length=1, max_length=100, description="Model it looks after; none is registry.model_name."
    )
    symbols: tuple[str, ...] = Field(
        (), description="Symbols it looks after, as they are stored, such as BTC/USDT; empty takes all there are."
    )
    source: Literal["store", "folder", "exchange"] = Field(
        "store",
        description="Where candles come from: the home folder's candle store, files that appear in a folder, or an exchange.",
    )
    folder: UserPath | None = Field(None, description="The folder, for source folder.")
    exchange: str | None = Field(None, min_length=1, description="The exchange, as in huracan fetch, for source exchange.")
    exchange_options: UserPath | None = Field(
        None,
        description="JSON file for ccxt's exchange class, as in huracan fetch: timeout, httpsProxy, options such as "
        "{sandbox: true}, urls; for source exchange.",
    )
    bar: Duration | None = Field(
        None, description="Length of the bars it looks after; none is that of what is stored, of an exchange else every."
    )
    every: Duration = Field("1h", description="Time between ticks; ticks fall on multiples of it since 1970, UTC.")
    delay: Duration = Field("10s", description="Time after a tick's moment until it begins, so that its bars are there.")
    wait_for_bars: Duration = Field(
        "2m", description="Time after delay for which a tick is followed by others while the newest bar of a symbol is missing."
    )
    chunk: Duration = Field(
        "30d", description="Features are computed in stretches of this length, so that a restart computes the same bits."
    )
    train: Duration = Field(
        "90d",
        description="Longest stretch a challenger learns from; more where fewer bars lie in it than a first champion needs, "
        "which are four times retrain.min_new_rows.",
    )
    max_train_rows: Rows = Field(100_000, description="At most this many training rows, the most recent ones.")
    learners: tuple[str, ...] = Field(
        ("ridge", "lightgbm"),
        min_length=1,
        description="Learners tried where there is no champion yet, or none that can be trained anew; the best one is taken.",
    )
    alpha: float = Field(
        0.05,
        gt=0.0,
        lt=0.5,
        description="Chance that a challenger that is no better, or worse, is ever called better, or worse.",
    )
    alpha_after_loss: float = Field(
        0.25,
        gt=0.0,
        lt=0.5,
        description="The same where the champion is shown to have lost its skill: waiting costs more then, and who takes over "
        "by chance is on trial.",
    )
    shadow_bars: int | None = Field(
        None,
        ge=60,
        le=100_000_000,
        description="Bars after which an undecided challenger expires, and as many after its victory one that waits for a "
        "thaw; none takes two weeks, and 500 bars at least.",
    )
    trial_bars: int | None = Field(
        None,
        ge=60,
        le=100_000_000,
        description="Bars for which the old champion is kept beside a new one, and a rollback waits for a thaw; none "
        "takes two weeks, and 500 bars at least.",
    )
    margin: float = Field(
        0.25,
        ge=0.0,
        le=1.0,
        description="Share of the expected skill that a newer model may be short of, where age or doubling asked for it.",
    )
    patience_bars: int = Field(48, ge=1, le=100_000_000, description="Bars after a label's due time until it counts as never.")
    keep_raw: Duration = Field(
        "35d", description="Time for which single predictions are kept; sums by symbol and regime stay for ever."
    )
    lease_seconds: float = Field(
        60.0, ge=1.0, le=86_400.0, description="Time after which another Mechanic takes over from one that is gone."
    )
    repeat_alerts: Duration = Field("6h", description="Time after which an alert that still holds is sent again.")
    webhook_url: str | None = Field(None, repr=False, description="Address alerts are posted to as JSON; none only logs them.")
    metrics_port: int | None = Field(None, ge=1, le=65_535, description="Port of the Prometheus metrics; none for none.")
    replay_synchronous: Literal["full", "normal"] = Field(
        "full",
        description="How SQLite writes in a replay: full outlives a power cut, normal is faster and outlives a kill.",
    )

    def watched_bars(self, bar: int, *, on_trial: bool = False) -> int:
        """For how many bars a challenger is in shadow, or a new champion on trial.

        Parameters
        ----------
        bar : length of a bar, in milliseconds.

        Examples
        --------
        >>> MechanicConfig().watched_bars(3_600_000), MechanicConfig().watched_bars(60_000)
        (500, 20160)
        """
        set_to = self.trial_bars if on_trial else self.shadow_bars
        return max(_FEWEST_WATCHED, _WATCHED // bar) if set_to is None else set_to

    @field_validator("symbols", "learners")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return without_twins(value)

    @field_validator("webhook_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("an address that begins with http:// or https:// was expected")
        return value

    @model_validator(mode="after")
    def _the_source_is_named(self) -> MechanicConfig:
        if self.source == "folder" and self.folder is None:
            raise ValueError("source folder needs 'folder', the folder in which files of candles appear")
        if self.source == "exchange" and (self.exchange is None or not self.symbols):
            raise ValueError("source exchange needs 'exchange' and 'symbols', what is fetched from where")
        return self
