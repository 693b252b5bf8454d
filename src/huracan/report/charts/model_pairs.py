"""All pairs of models at a glance: what is shown, and what a textbook test would have claimed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from markupsafe import Markup

__all__ = ["claim_bars", "pair_matrix"]

Cell = tuple[int, int]


def claim_bars(claims: Sequence[tuple[str, int, str]], of: int) -> Markup:
    """Draw how many of ``of`` comparisons each test calls different: ``(test, count, css class)`` each."""
    rows = Markup("").join(
        Markup(
            '<li><span class="name">{name}</span><span class="track"><span class="fill {c}" style="width:{w}%"></span></span>'
            '<span class="value"><b>{n:,}</b> of {of:,}</span></li>'
        ).format(name=name, c=css, w=f"{100 * n / max(of, 1):.2f}", n=n, of=of)
        for name, n, css in claims
    )
    return Markup('<ol class="bars claims">{}</ol>').format(rows)


def pair_matrix(
    models: Sequence[str], shown: Collection[Cell], claimed: Collection[Cell], undecided: Collection[Cell]
) -> Markup:
    """Draw models against models, best first: above the diagonal what is shown, below it what a textbook test claims.

    Parameters
    ----------
    models : names, lowest mean loss first.
    shown, claimed, undecided : places ``(better, worse)`` in ``models``, better before worse.
    """
    k = len(models)
    marks = {
        "diagonal": [(i, i) for i in range(k)],
        "unknown": list(undecided),
        "shown": list(shown),
        "claimed": [(worse, better) for better, worse in claimed],
    }
    paths = Markup("").join(
        Markup('<path class="cell {}" d="{}"/>').format(css, "".join(f"M{column} {row}h1v1h-1z" for row, column in cells))
        for css, cells in marks.items()
        if cells
    )
    names = Markup("").join(Markup("<li>{} <i>{}</i></li>").format(name, i + 1) for i, name in enumerate(models))
    heads = Markup("").join(Markup("<i>{}</i>").format(i + 1) for i in range(k))
    pairs = k * (k - 1) // 2
    said = f"{k} models, {pairs:,} pairs: {len(shown):,} shown to differ, {len(claimed):,} claimed by a textbook test"
    return Markup(
        '<div class="matrix-plot pairs{many}" style="--n:{n}"><span></span><div class="heads" aria-hidden="true">{heads}</div>'
        '<ol aria-hidden="true">{names}</ol>'
        '<svg viewBox="0 0 {n} {n}" preserveAspectRatio="none" role="img" aria-label="{said}">{paths}</svg></div>'
    ).format(n=k, many=" many" if k > 24 else "", heads=heads, names=names, said=said, paths=paths)
