"""``FeatureRecipe``: which features, with which parameters, as a value that can be hashed, stored and computed again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from huracan.errors import FeatureError, nearest_name
from huracan.preprocessing.compute import compute_features
from huracan.preprocessing.indicators import get_indicator
from huracan.preprocessing.spec import FeatureSpec, feature

if TYPE_CHECKING:
    import polars as pl

    from huracan.market import CandleSource
    from huracan.preprocessing.engine import EngineFields

__all__ = ["RECIPE_FORMAT", "FeatureRecipe"]

RECIPE_FORMAT = 1
"""Version of the JSON form; raised when its meaning changes."""

_STORED = ("format", "features", "hash", "engine")
_COLUMN_ORDER = ("symbol", "ts", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class FeatureRecipe:
    """An ordered list of features to compute from candles.

    Two recipes are equal, and have the same :attr:`hash`, exactly when they compute the same columns in the same order.

    Parameters
    ----------
    features : specs made by :func:`~huracan.preprocessing.feature`.
    engine : the other fields of a recipe that came from the Engine's JSON; no part of equality or :attr:`hash`.

    Raises
    ------
    FeatureError : no features, or two that would have the same column name.

    Examples
    --------
    >>> recipe = FeatureRecipe([feature("rsi", window=14), feature("log_return_scaled", horizon=6)])
    >>> recipe.columns, recipe.lookback
    (('rsi_14', 'log_return_scaled_6'), 48)
    >>> FeatureRecipe.from_json(recipe.to_json()) == recipe
    True
    """

    features: tuple[FeatureSpec, ...]
    engine: EngineFields | None = field(default=None, compare=False, repr=False)

    def __init__(self, features: Iterable[FeatureSpec], engine: EngineFields | None = None) -> None:
        if isinstance(features, str | FeatureSpec) or not isinstance(features, Iterable):
            raise FeatureError(f"{features!r} was given; a list of features was expected, as in [feature('rsi', window=14)].")
        object.__setattr__(self, "features", tuple(features))
        object.__setattr__(self, "engine", engine)
        if not self.features:
            raise FeatureError("a recipe without features was given; at least one is needed.")
        strange = [spec for spec in self.features if not isinstance(spec, FeatureSpec)]
        if strange:
            raise FeatureError(f"{strange[0]!r} is not a feature; make one with feature('rsi', window=14).")
        seen: dict[str, FeatureSpec] = {}
        for spec in self.features:
            for column in spec.columns:
                if column in seen:
                    raise FeatureError(f"column '{column}' comes from two features, {seen[column]} and {spec}; name each once.")
                seen[column] = spec

    def __add__(self, other: FeatureRecipe) -> FeatureRecipe:
        """Features of both in order; one that both have stays at its first place.

        The Engine's other fields are those of the one that has them; ``FeatureError`` where both have, and they differ.
        """
        if not isinstance(other, FeatureRecipe):
            return NotImplemented
        if self.engine is not None and other.engine is not None:
            self.engine.require_same(other.engine)
        features = (*self.features, *(spec for spec in other.features if spec not in self.features))
        return FeatureRecipe(features, self.engine or other.engine)

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        names = shorten(", ".join(self.columns), 100, placeholder=", ...")
        return (
            f"<FeatureRecipe {self.hash[:8]}: {len(self)} columns, complete after {self.lookback} bars and warmed up after "
            f"{self.warmup}: {names}>"
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the feature columns, in order."""
        return tuple(column for spec in self.features for column in spec.columns)

    @property
    def lookback(self) -> int:
        """Bars of a segment before its first complete row: row ``lookback``, from 0, is the first with every feature."""
        return max(spec.lookback for spec in self.features)

    @property
    def warmup(self) -> int:
        """Bars of history after which no feature depends any more on where the segment began.

        Averages that fade (EMA, RSI, ATR, ...) have a value after ``lookback`` bars, but that value still remembers their
        start. After ``warmup`` bars what is left of it is below 1e-7 of the feature's deviation: give ``OnlineFeatures`` that
        much history.
        """
        return max(spec.warmup for spec in self.features)

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Candle columns it reads, ``symbol`` and ``ts`` always among them."""
        needed = {"symbol", "ts"}.union(*(get_indicator(spec.indicator).columns for spec in self.features))
        return tuple(c for c in _COLUMN_ORDER if c in needed)

    def lookbacks(self) -> dict[str, int]:
        """Column -> rows without a value at the start of a segment."""
        return {column: spec.lookback for spec in self.features for column in spec.columns}

    def compute(
        self,
        candles: CandleSource,
        *,
        dtype: type[pl.Float32] | type[pl.Float64] | None = None,
        materialise: bool = False,
        threads: int | None = None,
    ) -> pl.DataFrame:
        """Compute the features.

        Parameters
        ----------
        candles : sorted by ``(symbol, ts)``, as ``huracan.market.read_candles`` gives them, or whatever it reads (a pandas
            frame, a lazy frame, a path). A column ``segment`` is used
            where there is one, and no bar may be missing within a segment; else a new one begins where bars are missing.
        dtype : ``pl.Float32`` (the default: what models are given) or ``pl.Float64``.
        materialise : copy lags into memory of their own, all columns in one piece each, for tools that need it. By default
            the lags of a column are views of it.
        threads : how many segments at a time; by default as many as there are cores. The result does not depend on it.

        Returns
        -------
        ``[symbol, ts, segment, features...]``, one row per candle in the same order, features null while warming up or
        undefined. The row at t uses bars up to and including t of its own segment, so it is known at ``ts + bar``.

        Raises
        ------
        CandleError : a column is missing, a price is not a positive number, a volume is negative or not a number, rows
            are out of order or double, a bar is missing within a ``segment`` that was given.
        FeatureError : an indicator gave an infinite value, or the bars are not those the recipe is for (:meth:`FeatureSpec.on`,
            the Engine's timeframes).

        Examples
        --------
        >>> import polars as pl
        >>> hours = pl.datetime_range(pl.datetime(2025, 1, 1), pl.datetime(2025, 1, 1, 5), "1h", time_zone="UTC", eager=True)
        >>> candles = pl.DataFrame({"symbol": ["A"] * 6, "ts": hours, "close": [1.0, 2.0, 4.0, 4.0, 2.0, 4.0]})
        >>> FeatureRecipe([feature("efficiency_ratio", window=2)]).compute(candles)["efficiency_ratio_2"].round(2).to_list()
        [None, None, 1.0, 1.0, 1.0, 0.0]
        """
        import polars as pl

        if dtype not in (None, pl.Float32, pl.Float64):
            raise FeatureError(f"dtype is {dtype}; pl.Float32 or pl.Float64 was expected.")
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise FeatureError(f"threads is {threads!r}; a whole number from 1, or None for one a core, was expected.")
        return compute_features(
            self.features,
            self.required_columns,
            candles,
            dtype=pl.Float32 if dtype is None else dtype,
            materialise=materialise,
            threads=threads,
            check_bar=None if self.engine is None else self.engine.require_bar,
        )

    def with_lags(self, bars: Sequence[int], columns: Sequence[str] | None = None) -> FeatureRecipe:
        """Add each feature (or those that give one of ``columns``) as it was so many bars earlier.

        >>> FeatureRecipe([feature("rsi", window=14)]).with_lags([1, 2]).columns
        ('rsi_14', 'rsi_14__lag_1', 'rsi_14__lag_2')
        """
        if columns is not None:
            unknown = [c for c in columns if c not in self.columns]
            if unknown:
                raise FeatureError(f"column '{unknown[0]}' is not among {', '.join(self.columns)}.")
        if not isinstance(bars, Iterable):
            raise FeatureError(f"bars is {bars!r}; a list of lags was expected, such as [1, 2, 3].")
        chosen = [s for s in self.features if columns is None or set(s.columns) & set(columns)]
        lagged = [spec.followed_by("lag", bars=k) for k in bars for spec in chosen]
        return FeatureRecipe((*self.features, *lagged), self.engine)

    def to_json(self, *, indent: int | None = None) -> str:
        """Write it as JSON with its hash; :meth:`from_json` reads it back, and refuses it where anything has changed since."""
        document = {"format": RECIPE_FORMAT, "features": [spec.to_dict() for spec in self.features], "hash": self.hash}
        if self.engine is not None:
            document["engine"] = self.engine.to_dict()
        return json.dumps(document, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> FeatureRecipe:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        FeatureError : not such JSON, an indicator of another version, a parameter out of bounds, or ``hash`` is there and
            does not fit the content.
        UnknownName : an indicator or parameter that does not exist; the nearest is offered.
        """
        from huracan.preprocessing.engine import EngineFields

        document = read_json_object(text, "a feature recipe")
        if document.get("format") != RECIPE_FORMAT:
            raise FeatureError(f"recipe JSON has format {document.get('format')!r}; format {RECIPE_FORMAT} was expected.")
        if not isinstance(document.get("features"), list):
            raise FeatureError(f"'features' of the recipe JSON is {document.get('features')!r}; a list was expected.")
        strange = [key for key in document if key not in _STORED]
        if strange:
            raise nearest_name(strange[0], _STORED, kind="key of a recipe")
        engine = EngineFields.from_dict(document["engine"]) if "engine" in document else None
        recipe = cls([FeatureSpec.from_dict(entry) for entry in document["features"]], engine)
        if document.get("hash", recipe.hash) != recipe.hash:
            raise FeatureError(f"the recipe states hash {document['hash']!r}; its content has {recipe.hash!r}.")
        return recipe

    @property
    def hash(self) -> str:
        """SHA-256 (hexadecimal) of what is computed: indicators with their versions, every parameter, order of columns."""
        document = {"format": RECIPE_FORMAT, "features": [spec.to_dict() for spec in self.features]}
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def engine_hash(self) -> str:
        """The Engine's hash of this recipe: 16 hexadecimal digits over its six keys.

        Raises
        ------
        FeatureError : the six keys cannot express the recipe; the message says why.
        """
        fields = self._engine_fields()
        return fields.hash_with(self._engine_indicators(fields))

    def to_engine_json(self, **fields: Any) -> str:
        """Write the Engine's JSON: six keys and ``hash``.

        Parameters
        ----------
        fields : any of ``symbol``, ``timeframes``, ``fill_rules``, ``normalization``, ``window_sizes``; the others stay as
            they were read by :meth:`from_engine_json`, or at the Engine's defaults.

        Raises
        ------
        FeatureError : the six keys cannot express the recipe; the message says why.

        Examples
        --------
        >>> recipe = FeatureRecipe([feature("rsi", window=6), feature("rsi", window=14)])
        >>> json.loads(recipe.to_engine_json(symbol="BTC"))["indicators"]
        {'rsi': {'window': [6, 14]}}
        >>> FeatureRecipe.from_engine_json(recipe.to_engine_json()) == recipe
        True
        """
        chosen = self._engine_fields().replaced(**fields)
        return chosen.to_json_with(self._engine_indicators(chosen))

    @classmethod
    def from_engine_json(cls, text: str) -> FeatureRecipe:
        """Read the Engine's JSON; :attr:`engine_hash` of the result is the hash the Engine gave it.

        Parameter names as the Engine writes them (``period``, ``fast_period``, ``std``...) are understood.

        Raises
        ------
        FeatureError : a key is missing or of the wrong kind, ``hash`` does not fit the content, or timeframes are not whole
            numbers of the shortest.
        UnknownName : an indicator or parameter that does not exist; the nearest is offered.
        """
        from huracan.preprocessing.engine import read_engine_recipe

        features, fields = read_engine_recipe(text)
        return cls(features, fields)

    def for_engine(self, **fields: Any) -> FeatureRecipe:
        """The same features with the Engine's other fields set: see :meth:`to_engine_json`.

        >>> recipe = FeatureRecipe.minimal()
        >>> recipe.for_engine(symbol="BTC") == recipe, recipe.for_engine(symbol="BTC").engine_hash == recipe.engine_hash
        (True, False)
        """
        return replace(self, features=self.features, engine=self._engine_fields().replaced(**fields))

    def _engine_fields(self) -> EngineFields:
        from huracan.preprocessing.engine import EngineFields

        return self.engine or EngineFields()

    def _engine_indicators(self, fields: EngineFields) -> Mapping[str, Mapping[str, Any]]:
        from huracan.preprocessing.engine import engine_indicators

        return engine_indicators(self.features, fields)

    @classmethod
    def default(cls) -> FeatureRecipe:
        """The general recipe: momentum, volatility, trend, stretch, volume and shape; 48 columns, for any bar length.

        Windows are the usual ones and were tuned to no data. Hour and weekday are in :meth:`calendar`.

        >>> len(FeatureRecipe.default()), FeatureRecipe.default().lookback
        (48, 179)
        """
        from huracan.preprocessing.recipes import DEFAULT

        return cls(DEFAULT)

    @classmethod
    def minimal(cls) -> FeatureRecipe:
        """Eight columns that are complete after two days of hours.

        >>> FeatureRecipe.minimal().columns[:3], FeatureRecipe.minimal().lookback
        (('log_return_scaled_1', 'log_return_scaled_6', 'log_return_scaled_24'), 48)
        """
        from huracan.preprocessing.recipes import MINIMAL

        return cls(MINIMAL)

    @classmethod
    def alpha158(cls) -> FeatureRecipe:
        """Alpha158, the price-volume features of Qlib, by their published definitions, names and order.

        >>> len(FeatureRecipe.alpha158()), FeatureRecipe.alpha158().columns[:3], FeatureRecipe.alpha158().lookback
        (158, ('KMID', 'KLEN', 'KMID2'), 60)
        """
        from huracan.preprocessing.recipes_alpha158 import ALPHA158

        return cls(ALPHA158)

    @classmethod
    def calendar(cls) -> FeatureRecipe:
        """Hour and weekday; add it where bars are shorter than a day: ``FeatureRecipe.default() + FeatureRecipe.calendar()``.

        >>> FeatureRecipe.calendar().columns
        ('time_of_day_sin', 'time_of_day_cos', 'day_of_week_sin', 'day_of_week_cos')
        """
        return cls([feature("time_of_day"), feature("day_of_week")])


def read_json_object(text: str, what: str) -> dict[str, Any]:
    """Parse a JSON object, or say in one sentence where it breaks."""
    try:
        document = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise FeatureError(f"{what} was expected as JSON: {error}.") from error
    if not isinstance(document, dict):
        raise FeatureError(f"{what} was expected as a JSON object; {type(document).__name__} was given.")
    return document
