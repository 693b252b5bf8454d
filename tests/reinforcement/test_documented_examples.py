"""What the documents show of agents runs as it stands, on small candles and with few steps."""

import re
from pathlib import Path

import pytest

from huracan import UnifiedMLPipeline
from huracan.market import simulate_market

ROOT = Path(__file__).parents[2]
SMALLER = {
    '"2024-01-01"': '"2024-02-20"',
    '"2024-01-02"': '"2024-02-21"',
    "200_000": "200",
    "FeatureRecipe.default()": "FeatureRecipe.minimal()",
    "n_windows=4, seeds=5, ": "",
    "random_state=seed), rules": "random_state=seed), rules, n_windows=1, seeds=2",
    '"PPO"': '"A2C"',  # whose rollouts are short
}


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A folder with the candles, the configuration and the trained agent that the documents speak of."""
    candles = simulate_market(n_bars=1_500, n_symbols=2, seed=1).candles
    symbols = candles["symbol"].unique().sort().to_list()
    candles = candles.with_columns(candles["symbol"].replace_strict(symbols, ["BTC/USDT", "ETH/USDT"]))
    monkeypatch.chdir(tmp_path)
    candles.write_parquet("my_candles.parquet")
    Path("config").mkdir()
    Path("config/ml_framework.yaml").write_text(
        f"home: {tmp_path / 'home'}\nfeatures: {{recipe: minimal}}\nrl: {{total_steps: 200}}\n"
    )
    return UnifiedMLPipeline("config/ml_framework.yaml")


def code_of(page, section):
    text = (ROOT / page).read_text(encoding="utf-8")
    told = text[text.index(section) :].partition("\n## What makes it honest")[0]
    code = "\n".join(re.findall(r"```python\n(.*?)```", told, re.S))
    for large, small in SMALLER.items():
        code = code.replace(large, small)
    return code


@pytest.mark.parametrize(
    ("page", "section", "learned", "held_out"),
    [
        ("README.md", "## An agent that learns to trade", "past", "later"),
        ("docs/reinforcement.md", "# Agents that learn", "train", "test"),
    ],
)
def test_it_runs(there, page, section, learned, held_out):
    pytest.importorskip("stable_baselines3")
    assert there.train_agent("my_candles.parquet").name == "champion.trained.dqn"
    names = {}
    exec(compile(code_of(page, section), page, "exec"), names)
    assert names["q_values"].shape == (1, 3)
    assert not (names[held_out].decidable & names[learned].decidable).any()
