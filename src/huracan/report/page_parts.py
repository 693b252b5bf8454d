"""What every page is made of: a template, styles, the one script, and the hash by which its policy knows the script."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from huracan.report import formatting
from huracan.storage.whole_files import put_file

__all__ = ["PageParts", "page_parts", "write_page"]


@dataclass(frozen=True)
class PageParts:
    """A page before it is filled in."""

    template: Template
    style: Markup
    script: Markup
    script_hash: str

    def render(self, **values: Any) -> str:
        """The page; every value is escaped, whatever it holds."""
        return self.template.render(style=self.style, script=self.script, script_hash=self.script_hash, **values)


@cache
def page_parts(template: str, *styles: str) -> PageParts:
    """Read a template of this room, the style sheets it uses beside that of all pages, and the script."""
    script = _read("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = "".join(_read(name) for name in ("report.css", *styles))
    return PageParts(_environment().get_template(template), Markup(style), Markup(script), "sha256-" + digest)


def write_page(page: str, path: str | os.PathLike[str]) -> Path:
    """Write a page to ``path``, whole or not at all, and return the path.

    Raises
    ------
    StorageError : the file cannot be written.
    """
    target = Path(path)
    put_file(target, page.encode())
    return target


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(moment=formatting.moment, title_case=formatting.title_case, plural=formatting.plural)
    return environment


def _read(name: str) -> str:
    return (files("huracan.report") / "templates" / name).read_text(encoding="utf-8")
