"""The compiled step formula is the step formula, to the bit."""

import numpy as np
import pytest

from huracan.accounting import AccountState, CostModel, step

pytest.importorskip("numba", reason="numba is not installed: pip install 'huracan[fast]'")

EVERY_COST = CostModel(
    fee_bps=5,
    half_spread_bps=1,
    slippage_bps=2,
    borrow_bps_per_bar=0.05,
    lot_size=0.01,
    minimum_notional=20.0,
    max_volume_share=0.05,
    initial_equity=10_000.0,
)


@pytest.mark.parametrize(("costs", "funded"), [(EVERY_COST, True), (CostModel(initial_equity=10_000.0), False)])
def test_it_gives_the_same_bits_through_wild_prices_to_ruin(costs, funded):
    from huracan.accounting.compiled_step import compiled_step

    random, n = np.random.default_rng(0), 200
    mine = theirs = AccountState.open(costs.initial_equity, (n,))
    for _ in range(120):
        target = random.choice([-3.0, -1.0, 0.0, 1.0, 3.0, np.nextafter(1.0, 2.0)], n)
        price = 100.0 * np.exp(random.normal(0, 0.1, (n, 2)))
        fill, mark = price[:, 0], price[:, 1]  # not contiguous, as gathered prices are
        options = {"volume": random.exponential(500.0, n), "funding_rate": random.normal(0, 1e-3, n) if funded else None}
        if random.random() < 0.3:  # trade back to the target
            mine, theirs = (state._replace(target=np.full(n, np.nan)) for state in (mine, theirs))
        a, b = (each((mine, theirs)[i], target, fill, mark, costs, **options) for i, each in enumerate((compiled_step, step)))
        for x, y in zip((*a.state, *a[1:]), (*b.state, *b[1:]), strict=True):
            np.testing.assert_array_equal(x, y)
        mine, theirs = a.state, b.state
    assert 0 < (mine.equity == 0).sum() < n
    assert not funded or mine.pending.any()
