"""What ``docs/streaming.md`` shows runs as it stands, on shorter run lengths, and says what the page says it does."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "streaming.md"


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = "".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    code = code.replace("run_length=5_000", "run_length=100").replace("run_length=1_000", "run_length=200")
    exec(compile(code, str(PAGE), "exec"), {})
    said = capsys.readouterr().out
    assert re.search(r"^up since about \d+ bars$", said, re.MULTILINE)
    assert "an autoregression of order" in said
