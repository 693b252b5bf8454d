"""Write the generated pages: ``config/ml_framework.yaml`` and ``docs/configuration.md``. Run by ``make docs``."""

from __future__ import annotations

from pathlib import Path

from huracan.config import commented_yaml, parameter_table

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """# Configuration

Every key of `config/ml_framework.yaml`. Any may be left out. The environment overrides the file: `HURACAN_HOME` sets `home`,
`HURACAN__LABELS__HORIZON=4` sets `labels.horizon` (two underscores a level). This page is generated (`make docs`).

"""


def main() -> None:
    """Write both pages."""
    (ROOT / "config" / "ml_framework.yaml").write_text(commented_yaml(), encoding="utf-8")
    (ROOT / "docs" / "configuration.md").write_text(INTRODUCTION + parameter_table(), encoding="utf-8")


if __name__ == "__main__":
    main()
