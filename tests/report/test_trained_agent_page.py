"""The page of one trained agent: what it learned by, what it does, and no claim that nobody measured."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.accounting import CostModel
from huracan.model_info import MarketRegime, RegimeSkill
from huracan.reinforcement import BatchTradingEnv, DQNAgent, MarketTable, Played, TradingRules, action_map, play
from huracan.report import render_trained_agent_page as render
from huracan.report.agent_learning import learning_figures
from huracan.report.formatting import percent

HOSTILE = "<script>document.title='owned'</script>\"'&"
RULES = TradingRules(rebalance=True, observe=("level",), episode_length=50, costs=CostModel(fee_bps=2))
SKILL = RegimeSkill(
    regime=MarketRegime.TRENDING, skill=2e-4, ci_low=1e-4, ci_high=3e-4, p_adjusted=0.01, n_effective=90.0, n_rows=500
)


@cache
def trained(counterfactual: bool = True, validation: float = 0.0) -> tuple[DQNAgent, MarketTable, Played]:
    move = np.random.default_rng(0).normal(0, 0.01, 1_001)
    market = MarketTable.from_prices(move[1:, None], np.exp(np.cumsum(move))[:-1])
    settings = {"hidden": (8,), "gamma": 0.5, "learning_starts": 100, "train_every": 1, "counterfactual": counterfactual}
    agent = DQNAgent(**settings, validation=validation).fit(BatchTradingEnv(market, 4, RULES), 1_200)
    return agent, market, play(agent, market, RULES)


def page_of(agent: DQNAgent, market: MarketTable, played: Played | None, **said: Any) -> str:
    return render(agent, played=played, action_map=action_map(agent, market, RULES).to_frame(), **said)


@pytest.mark.parametrize("counterfactual", [True, False])
@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_the_page_says_how_it_learned_and_what_it_does(
    counterfactual: bool, validation: float, read: Callable[[str], Any]
) -> None:
    agent, market, played = trained(counterfactual, validation)
    page = read(page_of(agent, market, played, title="Agent", facts={"costs a side": "2 basis points"}))
    assert "Nothing has judged it" in page.text
    where = "on bars held back" if validation else "on bars learned from"
    assert f"Score in basis points a bar, {where}" in page.text
    assert ("Return of an episode" in page.text) == (not counterfactual)
    assert f"{played.totals['exposure']:.0%}" in page.text
    assert "Nothing was measured" in page.text


def test_what_was_measured_is_shown_with_its_verdict(read: Callable[[str], Any]) -> None:
    agent, market, played = trained()
    agent.regime_evidence_ = (SKILL,)
    try:
        text = read(page_of(agent, market, played, evidence="The agent earns its costs.")).text
    finally:
        agent.regime_evidence_ = ()
    assert "The agent earns its costs." in text
    assert "+2.00" in text and "+1.00 to +3.00" in text and "0.01 ✱" in text
    assert "Nothing has judged it" not in text


def test_shares_of_positions_are_those_of_the_account_by_state() -> None:
    agent, market, played = trained()
    times = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 3, 1), "1h", eager=True).head(played.bars.height)
    dated = Played("agent", played.bars.with_columns(ts=times.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")), 8760.0)
    regimes = dated.bars.select("symbol", "ts", regime=pl.Series(np.where(dated.bars["position"] > 0, "trending", "ranging")))
    page = page_of(agent, market, dated, regimes=regimes)
    assert 'aria-label="short 0%, flat 0%, long 100%"' in page
    shares = [float((played.bars["position"].sign() == sign).mean()) for sign in (-1, 0, 1)]
    assert 'aria-label="short {}, flat {}, long {}"'.format(*(percent(share, 0) for share in shares)) in page


def test_an_agent_that_was_not_played_and_hostile_names(read: Callable[[str], Any]) -> None:
    agent, market, _ = trained()
    page = read(page_of(agent, market, None, title=HOSTILE, evidence=HOSTILE, facts={HOSTILE: HOSTILE}))
    assert "so it was not played" in page.text
    assert HOSTILE in page.text


def test_a_last_look_right_after_another_is_no_loss() -> None:
    steps = [1_000, 2_000, 3_000, 3_008]
    curves = pl.DataFrame(
        {"seed": [0] * 4, "step": steps, "loss": [1.0, 0.9, 0.8, 9.0], "episode_return": [None] * 4, "score": [None] * 4},
        schema_overrides={"episode_return": pl.Float64, "score": pl.Float64},
    )
    (loss,) = learning_figures(curves)
    assert "the median ends at 0.8" in loss["chart"]


def test_in_a_browser_the_page_fits_a_phone_without_an_error(heard_on_phones: Callable[..., list[Any]]) -> None:
    probe = """<script>
      const errors = [];
      addEventListener("error", (event) => errors.push(String(event.message)));
      addEventListener("load", () => {
        document.getElementById("theme").click();
        parent.postMessage({ width: document.documentElement.scrollWidth, window: innerWidth, errors }, "*");
      });
    </script>"""
    for report in heard_on_phones([page_of(*trained(counterfactual)) for counterfactual in (True, False)], probe):
        assert report["errors"] == []
        assert report["width"] <= report["window"] == 390
