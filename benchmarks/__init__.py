"""Benchmarks: each checks that its numbers are right before it reports them, and writes ``results/<name>.md``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Section", "ShortOfBar", "markdown_table", "market_data", "page_of", "write_result"]

_HERE = Path(__file__).resolve().parent


class ShortOfBar(AssertionError):
    """A figure misses its bar; the page, which says so, is written all the same.

    Parameters
    ----------
    short : what falls short, a few words each. page : all figures.
    """

    def __init__(self, short: Sequence[str], page: str) -> None:
        super().__init__("; ".join(short))
        self.page = f"{page.rstrip()}\n\nShort of its bar: {'; '.join(short)}."


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes
    ----------
    title, text : heading, and what was done with the table in it. short : what falls short of its bar.
    """

    title: str
    text: str
    short: tuple[str, ...] = ()


def page_of(title: str, checks: Sequence[Callable[[], Section]]) -> str:
    """Run the checks in turn and put what they found on one page.

    Raises
    ------
    ShortOfBar : a figure misses its bar.
    """
    found = [check() for check in checks]
    page = "\n\n".join([f"# {title}", *(f"## {section.title}\n\n{section.text.strip()}" for section in found)])
    short = [said for section in found for said in section.short]
    if short:
        raise ShortOfBar(short, page)
    return page


def market_data() -> Path:
    """Folder of real market data and public benchmarks, as the tests look for it.

    Raises
    ------
    FileNotFoundError : it is absent; ``python -m benchmarks`` then skips the benchmark and says so.
    """
    folder = Path(os.environ.get("HURACAN_TEST_DATA", _HERE.parent.parent / "shared" / "data"))
    if not folder.is_dir():
        raise FileNotFoundError(f"real market data is not at {folder}; set HURACAN_TEST_DATA to its folder.")
    return folder


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A small markdown table.

    >>> print(markdown_table(["a", "b"], [[1, 2]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [header, ["---"] * len(header), *rows]
    text = ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
    text[1] = "|" + "---|" * len(header)
    return "\n".join(text)


def write_result(name: str, text: str) -> Path:
    """Write ``results/<name>.md`` aside and rename it into place."""
    folder = _HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.md"
    aside = path.with_suffix(".part")
    aside.write_text(text.rstrip() + "\n", encoding="utf-8")
    return aside.rename(path)
