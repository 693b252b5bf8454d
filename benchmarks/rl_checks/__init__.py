"""What the benchmarks of reinforcement learning share."""
