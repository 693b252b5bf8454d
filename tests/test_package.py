"""The package from outside: quick to import, nothing hidden in the repository that should not be there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import huracan

ROOT = Path(__file__).resolve().parents[1]


def _modules_after(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import huracan", "import huracan.cli"])
def test_import_loads_nothing_heavy(statement: str) -> None:
    heavy = {"numpy", "polars", "pandas", "sklearn", "scipy", "torch", "talib", "xgboost", "lightgbm", "sqlalchemy", "pydantic"}
    assert not heavy & _modules_after(statement)


def test_the_main_job_never_loads_torch() -> None:
    assert "torch" not in _modules_after("import huracan.integration.main_job")


def test_every_public_name_resolves() -> None:
    for name in huracan.__all__:
        assert getattr(huracan, name) is not None
    assert set(huracan.__all__) <= set(dir(huracan))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        huracan.Nonsense  # noqa: B018


@pytest.mark.parametrize(
    ("room", "names"),
    [
        ("market", "read_candles simulate_market"),
        ("accounting", "CostModel PositionPolicy backtest"),
        (
            "validation",
            "PurgedWalkForward PurgedKFold CombinatorialPurgedCV assert_causal deflated_sharpe_ratio "
            "probability_of_backtest_overfitting",
        ),
        ("labels", "forward_return_labels triple_barrier_labels meta_labels uniqueness_weights"),
        ("regimes", "RegimeClassifier"),
        ("preprocessing", "EnhancedPreprocessor FeatureRecipe quality_report"),
        ("baselines", "t_test mann_whitney compare_models"),
        ("catalogue", "MODEL_CATALOGUE build_model"),
        ("serving", "Predictor Champions Signal"),
    ],
)
def test_public_contract(room: str, names: str) -> None:
    module = __import__(f"huracan.{room}", fromlist=names.split())
    for name in names.split():
        thing = getattr(module, name)
        assert thing.__doc__ or name.isupper()


def test_every_room_is_a_package_with_a_purpose() -> None:
    for folder in (ROOT / "src" / "huracan").rglob("*"):
        if folder.is_dir() and any(folder.glob("*.py")):
            first = (folder / "__init__.py").read_text().lstrip()
            assert first.startswith('"""') or folder.name == "versions", folder
