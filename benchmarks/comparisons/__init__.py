"""What ``benchmarks/ab_testing.py`` measures: processes with known truth, oracles, error rates, and speed."""
