"""Parts of the benchmark of searches: each a file with functions that return figures and a table."""
