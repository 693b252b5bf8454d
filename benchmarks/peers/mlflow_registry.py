"""MLflow's registry, driven over standard input: a JSON line asks for one thing to be done so often, a line tells the seconds.

Run by MLflow's own Python with two words: the URL of its database and a folder. It speaks through the same public client that
users have. Each answer is ``{"seconds": [...], "answer": ...}``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path

os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
logging.disable(logging.CRITICAL)

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever it prints does not mix with the answers

from mlflow.tracking import MlflowClient  # noqa: E402

url, folder = sys.argv[1], Path(sys.argv[2])
client = MlflowClient(tracking_uri=url, registry_uri=url)


def register(count: int) -> int:
    """A version without files: database only."""
    found = client.create_model_version("m", source=f"file://{folder}/none", tags={"k": str(count % 10)})
    return int(found.version)


def register_with_files(count: int) -> int:
    """A scikit-learn model saved in MLflow's format, then registered; its requirements are given, so none are inferred."""
    import mlflow.sklearn
    from sklearn.linear_model import Ridge

    path = folder / f"model{count}"
    model = Ridge().fit([[0.0], [1.0]], [0.0, float(count + 1)])
    mlflow.sklearn.save_model(model, str(path), pip_requirements=["scikit-learn"])
    return int(client.create_model_version("m", source=f"file://{path}").version)


def alias_set(count: int) -> None:
    """Point the champion at versions 1 and 2 in turn."""
    client.set_registered_model_alias("m", "champion", str(1 + count % 2))


def alias_get(_count: int) -> int:
    """The version the champion is."""
    return int(client.get_model_version_by_alias("m", "champion").version)


def tag_query(count: int) -> list[int]:
    """Versions of one of ten values of a tag."""
    found = client.search_model_versions(f"name='m' and tags.k='{count % 10}'", max_results=1000)
    return sorted(int(version.version) for version in found)


def settings(_count: int) -> str:
    """How its SQLite waits for the disk."""
    from sqlalchemy import text

    store = client._get_registry_client().store
    with store.engine.connect() as connection:
        return " ".join(str(connection.execute(text(f"pragma {name}")).scalar()) for name in ("journal_mode", "synchronous"))


client.create_registered_model("m")
print(json.dumps({"ready": True}), file=answers, flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    work, seconds, answer = globals()[asked["do"]], [], None
    for count in range(asked["start"], asked["start"] + asked["times"]):
        began = time.perf_counter()
        answer = work(count)
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "answer": answer}), file=answers, flush=True)
