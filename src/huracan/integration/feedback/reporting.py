"""The report of a turn, out of what the turn has left in the database, and of who answers at its end."""

from __future__ import annotations

from huracan.integration.feedback.mechanic_report import MechanicReport, told_of
from huracan.integration.feedback.nobody import Nobody
from huracan.integration.feedback.turn import Turn
from huracan.registry.scopes import Scope

__all__ = ["report_of"]


def report_of(turn: Turn, *, simulated: bool) -> tuple[MechanicReport, Nobody | None]:
    """What a turn did, and whether nobody answers at its end: the same whether the turn was killed in between or not.

    Parameters
    ----------
    simulated : a simulated market stands in for candles.
    """
    works, intake, lineup, tick = turn.works, turn.intake, turn.lineup, turn.tick
    told = works.database.read(lambda connection: told_of(connection, works.name, tick))
    nobody = None if lineup.answering() else Nobody.of(turn.state())
    frozen = works.switch.state()
    answering = [one for one in sorted(lineup.able.items(), key=_by_text) if one[0].symbol in ("", *lineup.routes)]
    report = MechanicReport(
        works.name,
        tick,
        bars=dict(intake.newest),
        late=dict(intake.late),
        revised=dict(intake.revised),
        refused=dict(intake.refused),
        champions={scope.written("champion"): version for scope, version in answering},
        trouble={str(version): why for version, why in lineup.trouble.items()},
        frozen=frozen.reason if frozen.frozen else "",
        unanswered="" if nobody is None else nobody.why,
        unanswered_bars=0 if nobody is None else (tick - nobody.since) // turn.bar,
        simulated=simulated,
        **told,
    )
    return report, nobody


def _by_text(item: tuple[Scope, int]) -> tuple[str, str]:
    return item[0].symbol, item[0].regime
