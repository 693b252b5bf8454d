"""What :mod:`benchmarks.registry` measures: MLflow in turns, 10,000 versions, and processes that promote at once."""
