"""The fixed list of what a stored scikit-learn model may consist of: exact types, each with the one way to rebuild it.

skops decides by itself what it trusts, and its list grows with every version; this one does not. A type is on it
because rebuilding it runs no code but its own ``__new__`` and ``__setstate__``, and because a learner, scaler or
selector that people use on candles needs it. Functions, methods, partials, operators and constructors with arguments
are not on it, with the exception of two scoring functions by name.
"""

from __future__ import annotations

__all__ = ["ALLOWED", "is_allowed"]


def _names(module: str, *names: str) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for name in names)


_ESTIMATORS: frozenset[str] = frozenset().union(
    _names("sklearn.calibration", "CalibratedClassifierCV", "_CalibratedClassifier", "_SigmoidCalibration"),
    _names("sklearn.compose._column_transformer", "ColumnTransformer"),
    _names("sklearn.compose._target", "TransformedTargetRegressor"),
    _names("sklearn.decomposition._pca", "PCA"),
    _names("sklearn.decomposition._truncated_svd", "TruncatedSVD"),
    _names("sklearn.discriminant_analysis", "LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"),
    _names("sklearn.dummy", "DummyClassifier", "DummyRegressor"),
    _names("sklearn.ensemble._bagging", "BaggingClassifier", "BaggingRegressor"),
    _names(
        "sklearn.ensemble._forest",
        *("ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"),
    ),
    _names("sklearn.ensemble._gb", "GradientBoostingClassifier", "GradientBoostingRegressor"),
    _names("sklearn.ensemble._hist_gradient_boosting.binning", "_BinMapper"),
    _names(
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting",
        *("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
    ),
    _names("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
    _names("sklearn.ensemble._voting", "VotingClassifier", "VotingRegressor"),
    _names("sklearn.ensemble._weight_boosting", "AdaBoostClassifier", "AdaBoostRegressor"),
    _names("sklearn.feature_selection._univariate_selection", "SelectKBest", "SelectPercentile"),
    _names("sklearn.feature_selection._variance_threshold", "VarianceThreshold"),
    _names("sklearn.impute._base", "SimpleImputer", "MissingIndicator"),
    _names("sklearn.isotonic", "IsotonicRegression"),
    _names("sklearn.kernel_approximation", "Nystroem", "RBFSampler"),
    _names("sklearn.kernel_ridge", "KernelRidge"),
    _names("sklearn.linear_model._base", "LinearRegression"),
    _names("sklearn.linear_model._bayes", "ARDRegression", "BayesianRidge"),
    _names("sklearn.linear_model._coordinate_descent", "ElasticNet", "ElasticNetCV", "Lasso", "LassoCV"),
    _names("sklearn.linear_model._huber", "HuberRegressor"),
    _names("sklearn.linear_model._logistic", "LogisticRegression", "LogisticRegressionCV"),
    _names("sklearn.linear_model._quantile", "QuantileRegressor"),
    _names("sklearn.linear_model._ridge", "Ridge", "RidgeCV", "RidgeClassifier", "RidgeClassifierCV"),
    _names("sklearn.linear_model._stochastic_gradient", "SGDClassifier", "SGDRegressor"),
    _names("sklearn.naive_bayes", "BernoulliNB", "GaussianNB"),
    _names("sklearn.neighbors._ball_tree", "BallTree"),
    _names("sklearn.neighbors._classification", "KNeighborsClassifier"),
    _names("sklearn.neighbors._kd_tree", "KDTree"),
    _names("sklearn.neighbors._regression", "KNeighborsRegressor"),
    _names("sklearn.metrics._dist_metrics", "EuclideanDistance64", "ManhattanDistance64", "MinkowskiDistance64"),
    _names("sklearn.pipeline", "FeatureUnion", "Pipeline"),
    _names(
        "sklearn.preprocessing._data",
        *("MaxAbsScaler", "MinMaxScaler", "Normalizer", "PowerTransformer", "QuantileTransformer", "RobustScaler"),
        *("StandardScaler",),
    ),
    _names("sklearn.preprocessing._discretization", "KBinsDiscretizer"),
    _names("sklearn.preprocessing._encoders", "OneHotEncoder", "OrdinalEncoder"),
    _names("sklearn.preprocessing._label", "LabelBinarizer", "LabelEncoder"),
    _names("sklearn.preprocessing._polynomial", "PolynomialFeatures", "SplineTransformer"),
    _names("sklearn.svm._classes", "LinearSVC", "LinearSVR", "NuSVC", "NuSVR", "SVC", "SVR"),
    _names("sklearn.tree._classes", "DecisionTreeClassifier", "DecisionTreeRegressor"),
    _names("sklearn.tree._classes", "ExtraTreeClassifier", "ExtraTreeRegressor"),
    _names("sklearn._loss.link", "HalfLogitLink", "IdentityLink", "Interval", "LogLink", "LogitLink", "MultinomialLogit"),
    _names(
        "sklearn._loss.loss",
        *("AbsoluteError", "HalfBinomialLoss", "HalfMultinomialLoss", "HalfPoissonLoss", "HalfSquaredError"),
        *("HuberLoss", "PinballLoss"),
    ),
)

_LOSSES = frozenset().union(
    _names(
        "sklearn._loss._loss",
        *("CyAbsoluteError", "CyHalfBinomialLoss", "CyHalfMultinomialLoss", "CyHalfPoissonLoss", "CyHalfSquaredError"),
        *("CyHuberLoss", "CyPinballLoss"),
    ),
    _names(
        "sklearn.linear_model._sgd_fast",
        *("EpsilonInsensitive", "Hinge", "ModifiedHuber", "SquaredEpsilonInsensitive", "SquaredHinge"),
    ),
)

_NUMBERS = _names(
    "numpy",
    *("bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "str_"),
    *("uint8", "uint16", "uint32", "uint64"),
)
_BUILTINS = _names("builtins", "bool", "float", "int", "str")

ALLOWED: dict[str, frozenset[str]] = {
    "DictNode": _names("builtins", "dict") | _names("sklearn.utils._bunch", "Bunch"),
    "DTypeNode": _names("numpy", "dtype"),
    "FunctionNode": _names("sklearn.feature_selection._univariate_selection", "f_classif", "f_regression"),
    "JsonNode": _BUILTINS,
    "ListNode": _names("builtins", "list"),
    "LossNode": _LOSSES,
    "NdArrayNode": _names("numpy", "ndarray") | _NUMBERS,
    "ObjectNode": _ESTIMATORS,
    "RandomGeneratorNode": _names("numpy.random._generator", "Generator"),
    "RandomStateNode": _names("numpy.random.mtrand", "RandomState"),
    "SetNode": _names("builtins", "set"),
    "SliceNode": _names("builtins", "slice"),
    "TreeNode": _names("sklearn.tree._tree", "Tree"),
    "TupleNode": _names("builtins", "tuple"),
    "TypeNode": _BUILTINS | _NUMBERS,
}
"""How skops rebuilds a part -> the exact types that may be rebuilt so."""


def is_allowed(loader: object, type_name: str) -> bool:
    """Whether a part of ``type_name`` may be rebuilt by ``loader``.

    >>> is_allowed("ObjectNode", "sklearn.linear_model._ridge.Ridge"), is_allowed("FunctionNode", "os.system")
    (True, False)
    """
    return isinstance(loader, str) and type_name in ALLOWED.get(loader, ())
