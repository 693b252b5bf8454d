"""What ``benchmarks/regime_evidence.py`` measures: models that work in one regime only, judged as the main job judges."""
