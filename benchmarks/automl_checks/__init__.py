"""Parts of ``benchmarks/automl.py``: sets of rows, systems that search on them, and what is asked of the search."""
