"""What identifies a learner, a user's own included: a run or a study does not go on where it has changed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from huracan.baselines.spec import LearnerSpec
from huracan.training.code_identity import code_of

__all__ = ["learner_identity"]


def learner_identity(spec: LearnerSpec) -> str:
    """SHA-256 of a learner's settings, and of its functions where they are not this package's, whose code has its own.

    Examples
    --------
    >>> from dataclasses import replace
    >>> spec = LearnerSpec(
    ...     name="mine", purpose="p", ideal_dataset_shape="d", tasks=("regression",), build=lambda context: None
    ... )
    >>> learner_identity(replace(spec, purpose="q")) == learner_identity(spec)
    True
    >>> learner_identity(replace(spec, scale_inputs=not spec.scale_inputs)) == learner_identity(spec)
    False
    """
    told = [spec.name, spec.tasks, dict(spec.defaults), spec.scale_inputs, spec.estimator]
    functions = [item for item in (spec.build, spec.fit, spec.output, spec.importance, spec.network) if item is not None]
    named = [item if isinstance(item, str) else _of_somebody(item) for item in functions]
    return hashlib.sha256("\x1f".join([json.dumps(told, sort_keys=True, default=str), *named]).encode()).hexdigest()


def _of_somebody(function: Any) -> str:
    module = str(getattr(function, "__module__", type(function).__module__))
    return module if module.partition(".")[0] == "huracan" else code_of([function])
