"""What all sections of the configuration share: unknown keys are refused, and the kinds of values there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

__all__ = ["BasisPoints", "Duration", "Rows", "Section", "UserPath", "from_the_users_home", "milliseconds", "without_twins"]

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def from_the_users_home(path: Path) -> Path:
    """The path with ``~`` resolved; a ValueError says whose home is not known."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"the home folder of '{path.parts[0]}' is not known") from error


def without_twins(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names as they are; a ValueError says which stands twice."""
    twin = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twin is not None:
        raise ValueError(f"'{twin}' stands twice; each once was expected")
    return names


def milliseconds(duration: str) -> int:
    """Length of a duration as the configuration writes it: a whole number and ``s``, ``m``, ``h``, ``d`` or ``w``.

    Raises
    ------
    ValueError : it is written otherwise, or is zero.

    Examples
    --------
    >>> milliseconds("90d") // 86_400_000
    90
    >>> milliseconds("1 month")
    Traceback (most recent call last):
    ValueError: a whole number above 0 with s, m, h, d or w was expected, as in 15m, 1h or 28d
    """
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", duration)
    if found is None:
        raise ValueError("a whole number above 0 with s, m, h, d or w was expected, as in 15m, 1h or 28d")
    return int(found[1]) * _UNITS[found[2]]


def _is_a_duration(text: str) -> str:
    milliseconds(text)
    return text


Rows = Annotated[int, Field(ge=50)]
BasisPoints = Annotated[float, Field(ge=0.0, le=10_000.0)]
UserPath = Annotated[Path, AfterValidator(from_the_users_home)]
Duration = Annotated[str, AfterValidator(_is_a_duration)]
"""A length of time as text (``15m``, ``1h``, ``28d``); :func:`milliseconds` gives its length."""


class Section(BaseModel):
    """A group of keys; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("true and false do not fit here; the key is no switch")
        return value
