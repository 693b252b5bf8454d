"""Every error Huracan raises on purpose, in one tree.

A message is one or two plain sentences: what was wrong, where (column, row, time, key, line) and what was
expected. The command line prints exactly that sentence and exits with :attr:`HuracanError.exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AccountingError",
    "ArtifactDamaged",
    "ArtifactError",
    "ArtifactMissing",
    "AuditError",
    "CandleError",
    "ConfigError",
    "ConnectionLost",
    "DataError",
    "DependencyMissing",
    "ExchangeError",
    "FanoutError",
    "FeatureError",
    "FolderInUse",
    "HuracanError",
    "LeakageError",
    "LeaseHeld",
    "LeaseLost",
    "ModelError",
    "NotEnoughData",
    "PromotionConflict",
    "PromotionsFrozen",
    "RegistryError",
    "SchemaTooNew",
    "SignatureError",
    "StorageError",
    "UnknownName",
    "WorkerError",
    "nearest_name",
]


_MOST_LISTED = 30
"""Names up to which an error lists all there are."""


class HuracanError(Exception):
    """Root of the tree; catching it catches every error that is about the user's input or environment."""

    exit_code = 2


class ConfigError(HuracanError):
    """A key or value of the configuration is unknown, out of bounds or unreadable."""


class DataError(HuracanError, ValueError):
    """Data that cannot be used as it is."""


class CandleError(DataError):
    """Candles that are not candles: missing columns, impossible prices, broken time."""


class ExchangeError(HuracanError):
    """An exchange could not be reached, refused, or answered what cannot be used."""


class NotEnoughData(DataError):
    """Fewer rows than a step needs; the message gives both numbers."""


class FeatureError(DataError):
    """A feature, indicator or recipe that cannot be computed or does not match its data."""


class SignatureError(DataError):
    """Rows that a model cannot be asked about: a column is missing or of another type, or they are of another recipe."""


class LeakageError(DataError):
    """Something at time t used data that was not known at its decision time."""


class AccountingError(DataError):
    """Costs, positions or prices that no account can be run on."""


class ModelError(HuracanError, ValueError):
    """A learner that cannot be built, fitted or used as asked."""


class FanoutError(HuracanError):
    """Work sent to many processes or machines that could not be done there; the message names tasks and causes."""


class StorageError(HuracanError):
    """The database or the file system refused: locked, full, read-only, of another schema."""


class SchemaTooNew(StorageError):
    """A newer version of Huracan wrote this database."""


class ConnectionLost(StorageError):
    """The database went away and did not come back in the time allowed; what was not confirmed may or may not be there."""


class FolderInUse(StorageError):
    """Another process is using a folder that one at a time may use."""


class LeaseHeld(StorageError):
    """Another process does this work at present; the message says which, and since when."""


class LeaseLost(StorageError):
    """Another process has taken this work over meanwhile; what was being written was not kept."""


class ArtifactError(StorageError):
    """A stored file that is missing, damaged, or of a kind that is not loaded."""


class ArtifactMissing(ArtifactError):
    """There is no such artifact in the store."""


class ArtifactDamaged(ArtifactError):
    """What is stored is proven not to be what was stored: another hash or size, a file gone, a link in its place."""


class RegistryError(HuracanError):
    """The registry cannot do what was asked: unknown model, version or alias, or a forbidden promotion."""


class AuditError(RegistryError):
    """The chain of audit rows is broken: one was changed, removed or put in from outside."""


class PromotionConflict(RegistryError):
    """The alias no longer points where the caller expected; somebody else promoted first."""


class PromotionsFrozen(RegistryError):
    """A person has stopped promotions and rollbacks; the message says who, since when and why."""


class WorkerError(HuracanError):
    """A process of many is missing, was lost too often, or failed; the message names it."""


class UnknownName(HuracanError, KeyError):
    """A name that does not exist; the message offers the nearest that does."""

    def __str__(self) -> str:  # KeyError would show the repr
        return str(self.args[0]) if self.args else ""


class DependencyMissing(HuracanError, ImportError):
    """An optional package is needed; the message gives the extra that installs it."""


def nearest_name(name: str, known: Iterable[str], *, kind: str = "name") -> UnknownName:
    """Make the error for an unknown ``name``, offering the closest of ``known``.

    >>> str(nearest_name("rigde", ["ridge", "lasso"], kind="learner"))
    "unknown learner 'rigde'; did you mean 'ridge'? Known: lasso, ridge."
    """
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    if len(choices) <= _MOST_LISTED:
        return UnknownName(f"unknown {kind} '{name}'{hint} Known: {', '.join(choices)}.")
    near = difflib.get_close_matches(name, choices, n=6, cutoff=0.3) or choices[:6]
    return UnknownName(f"unknown {kind} '{name}'{hint} Of {len(choices)} known, nearest: {', '.join(near)}.")
