"""Write the generated pages: the configuration with its parameter table, and the learners. Run by ``make docs``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huracan.catalogue import MODEL_CATALOGUE, PROFILES, LearnerSpec
from huracan.config import commented_yaml, parameter_table

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = """# Configuration

Every key of `config/ml_framework.yaml`. Any may be left out, also in a profile that exists by default; only a list of
learners that is given replaces the default list as a whole. The environment overrides the file: `HURACAN_HOME` sets `home`,
`HURACAN__LABELS__HORIZON=4` sets `labels.horizon` (two underscores a level). The hyperparameters that go under `params` are
in [learners.md](learners.md). This page is generated (`make docs`).

"""
LEARNERS = """# Learners

Every learner of the catalogue with its hyperparameters. In Python: `build_model("ridge", expected_ic=0.1)`. In the
configuration:

```yaml
profiles:
  quick:
    learners:
      ridge: {params: {expected_ic: 0.1}, max_train_rows: 100000}
```

Well-known names of scikit-learn, LightGBM and XGBoost are understood where they mean the same; they stand under "also".
Where a hyperparameter is none by default, another one decides, and a value given replaces that. All learners also take
`clip` (inputs are cut at this many standard deviations; 8) and, for regression, `winsorize` (share of the label cut at each
end; 0.005). A row cap is the number of most recent training rows used in a fit, by profile. Your own learner joins them as
in [your_own_learner.md](your_own_learner.md). This page is generated (`make docs`).

"""


def learners_page() -> str:
    """The page about the learners, made from the catalogue."""
    return LEARNERS + "\n".join(line for spec in MODEL_CATALOGUE.values() for line in _learner(spec))


def _learner(spec: LearnerSpec) -> Iterator[str]:
    caps = ", ".join(f"{profile} {_rows(spec.row_cap(profile))}" for profile in PROFILES)
    yield from (f"## {spec.name}", "", spec.purpose, "")
    yield f"* tasks: {', '.join(spec.tasks)}"
    yield f"* best on: {spec.ideal_dataset_shape}"
    yield f"* needs features: {'; '.join(spec.feature_requirements)}"
    yield f"* row caps: {caps}"
    yield f"* declared for: {'; '.join(f'{regime} ({why})' for regime, why in spec.market_regimes.items())}"
    yield ""
    if not spec.defaults:
        yield from ("No hyperparameters.", "")
        return
    yield from ("| hyperparameter | default | also | meaning |", "|---|---|---|---|")
    for name, default in spec.defaults.items():
        also = ", ".join(f"`{alias}`" for alias, meant in spec.aliases.items() if meant == name)
        yield f"| `{name}` | {_value(default)} | {also} | {spec.meanings[name]} |"
    yield ""


def _rows(cap: int | None) -> str:
    return "all" if cap is None else f"{cap:,}"


def _value(default: Any) -> str:
    return "none" if default is None else f"`{default}`"


def main() -> None:
    """Write all pages."""
    (ROOT / "config" / "ml_framework.yaml").write_text(commented_yaml(), encoding="utf-8")
    (ROOT / "docs" / "configuration.md").write_text(CONFIGURATION + parameter_table(), encoding="utf-8")
    (ROOT / "docs" / "learners.md").write_text(learners_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
