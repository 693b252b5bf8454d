"""What ``benchmarks/drift.py`` and ``benchmarks/streaming.py`` measure, one part a file."""
