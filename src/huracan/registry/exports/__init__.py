"""Fitted models as ONNX graphs, checked against themselves, and the quickest way to ask them about one row.

>>> import numpy as np
>>> from huracan.catalogue import build_model
>>> X = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
>>> model = build_model("logistic_regression").fit(X, X[:, 0] > 0)
>>> export = export_checked(model, X)
>>> scorer = make_scorer(model, export, export.onnx)
>>> round(signal_of(model)(scorer.one(X[0])), 6) == round(float(model.predict_proba(X[:1])[0, 1]) - 0.5, 6)
True
"""

from huracan.registry.exports.anomaly import AnomalyScorer
from huracan.registry.exports.checked import TOLERANCE, Export, export_checked
from huracan.registry.exports.emitting import export_model
from huracan.registry.exports.graph import ExportRefused
from huracan.registry.exports.scorers import Scorer, make_scorer, probability_of, signal_of

__all__ = [
    "TOLERANCE",
    "AnomalyScorer",
    "Export",
    "ExportRefused",
    "Scorer",
    "export_checked",
    "export_model",
    "make_scorer",
    "probability_of",
    "signal_of",
]
