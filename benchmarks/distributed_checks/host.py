"""``python -m benchmarks.distributed_checks.host PROBLEM CONFIG``: one host's part of a training; prints what came of it."""

from __future__ import annotations

import json
import sys

from benchmarks.distributed_checks.problem import Problem
from huracan.distributed import DistributedConfig, DistributedTrainer
from huracan.errors import HuracanError


def main() -> None:
    problem, config = (json.loads(word) for word in sys.argv[1:])
    try:
        fitted = DistributedTrainer(DistributedConfig(**config)).fit(Problem(**problem), None)
    except HuracanError as error:
        print(json.dumps({"error": str(error)}))
        sys.exit(2)
    print(json.dumps(fitted.told))


if __name__ == "__main__":
    main()
