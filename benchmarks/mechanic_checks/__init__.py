"""What ``benchmarks/mechanic.py`` measures, one part a file."""
