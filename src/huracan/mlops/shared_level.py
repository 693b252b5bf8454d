"""One level for a whole drift check, shared by the columns and by all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from huracan.mlops.drift_report import ColumnDrift, JointDrift
from huracan.statistics.multiple_testing import Correction, adjust_p_values

__all__ = ["JOINT_SHARE", "decided"]

JOINT_SHARE = 0.25
"""Of the level, that goes to all columns together; the rest is for the columns."""


def decided(
    columns: Sequence[ColumnDrift], joint: JointDrift | None, *, correction: Correction, alpha: float
) -> tuple[tuple[ColumnDrift, ...], JointDrift | None]:
    """q-values of columns and of all together, and which drifted.

    The columns are corrected at three quarters of the level and the joint test has the last quarter, each with all of it where
    the other could not be tested. By the inequality of Bonferroni the share of false claims among all claims is then what was
    asked for, and so is, where nothing drifted, the chance that anything is claimed at all. (The joint test as one more
    weighted hypothesis of Benjamini and Yekutieli would hold that, too, and pay their sum of 1/k on top, 4.5 for 48 columns.)

    Columns that drifted by themselves, without a test, and those that could not show drift whatever came, are outside the
    correction: they have no q-value, the former no p-value either.

    Parameters
    ----------
    columns, joint : as tested, with p-values. correction : over the columns; "none" shares no level. alpha : the level.

    Examples
    --------
    >>> tested = [ColumnDrift("spread", "number", p_value=0.003), ColumnDrift("depth", "number", p_value=0.375)]
    >>> columns, joint = decided(tested, JointDrift(0.02, False), correction="bonferroni", alpha=0.05)
    >>> [(column.q_value, column.drifted) for column in columns], (joint.q_value, joint.drifted)
    ([(0.008, True), (1.0, False)], (0.08, False))
    """
    family = [_is_tested(column) for column in columns]
    p_values = [p for column, tested in zip(columns, family, strict=True) if tested and (p := column.p_value) is not None]
    together = joint is not None and joint.p_value is not None
    share = JOINT_SHARE if together and p_values and correction != "none" else 0.0
    q_values = iter(adjust_p_values(p_values, correction).tolist())
    found = []
    for column, tested in zip(columns, family, strict=True):
        if tested:
            q_value = min(1.0, next(q_values) / (1.0 - share))
            column = ColumnDrift(**(vars(column) | {"q_value": q_value, "drifted": q_value <= alpha}))
        elif column.drifted:
            column = replace(column, p_value=None)
        found.append(column)
    if joint is not None and joint.p_value is not None:
        q_value = min(1.0, joint.p_value / (share or 1.0))
        joint = replace(joint, q_value=q_value, drifted=q_value <= alpha)
    return tuple(found), joint


def _is_tested(column: ColumnDrift) -> bool:
    return column.p_value is not None and column.testable and not column.drifted
