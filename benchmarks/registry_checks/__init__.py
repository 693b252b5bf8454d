"""What the benchmarks of the registry are made of: damage, attacks, kills."""
