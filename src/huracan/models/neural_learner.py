"""What regressors and classifiers that are networks share: windows, the purged tail, training, prediction."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted

from huracan.baselines.given_rows import as_array, as_rows, dimensions, is_own_copy
from huracan.baselines.inputs import checked_weight, other_columns, require_finite
from huracan.baselines.wrapper import MIN_TRAIN_ROWS
from huracan.dataset import TrainingSet, require_same_index
from huracan.errors import DataError, ModelError, NotEnoughData
from huracan.logs import logger
from huracan.memory import give_back_freed_memory
from huracan.models.input_saliency import input_saliency
from huracan.models.neural_inputs import given_target, require_window
from huracan.models.neural_scaling import window_scaler
from huracan.models.neural_settings import loop_settings, network_arguments, window_scaling
from huracan.models.neural_storage import StoredNetwork
from huracan.models.torch_use import require_torch, torch_threads
from huracan.models.validation_tail import FEWEST_VALIDATED, purged_tail
from huracan.models.windowed_rows import AskedRows, TableSource, WindowedRows
from huracan.validation.row_times import RowTimes

if TYPE_CHECKING:
    import torch

    from huracan.training.checkpoints import CheckpointFolder
    from huracan.training.history import EpochRecord, TrainingResult
    from huracan.training.job import TrainingJob
    from huracan.training.settings import LoopSettings
    from huracan.training.windows import WindowTable

__all__ = ["NeuralLearner"]

_PREDICT_ROWS = 2_048
_SCALED_WINDOWS = 8 * _PREDICT_ROWS


class NeuralLearner(StoredNetwork):
    """What :class:`~huracan.models.neural.NeuralRegressor` and ``NeuralClassifier`` share; use one of those two."""

    _reads_keys = True

    # --- fitting ---------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train on a ``TrainingSet``; on ``X`` (n, d) and ``y`` (n,) or (n, outputs), oldest row first; or on windows ``X``
        (n, bars, d), each with its own ``y``.

        A matrix is one unbroken series. A frame may say what its rows are of: in columns ``ts``, ``symbol`` and ``segment``,
        which are then no features, or in a pandas index of times, or of times and symbols. Windows end where a bar is missing.

        ``y`` beside a ``TrainingSet`` stands for its label where one number is not enough, say (n, 96) for the next 96
        values: rows whose own label is not known stay out, and all of a row's values are known by its ``label_end``.

        Raises
        ------
        DataError : not finite (column, row and time are named), of unequal length, or nothing but zero weights.
        NotEnoughData : no row has a whole window of unbroken bars, or fewer than 10 have.
        ModelError : one class only; or the loss left all bounds before an epoch was done.

        Whatever is raised, the model stays what it was before, and forecasts as before; threads that ask it meanwhile are
        answered by the last fit.
        """
        require_torch()
        from huracan.training.out_of_memory import is_out_of_memory

        params = self._params()
        job = self.prepare(X, y, sample_weight)
        try:
            return self.finish(job, *self._trained(job, params))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            size, bars, wide = job.settings.batch_size, job.train.length, job.train.n_features
            raise ModelError(
                f"{self.spec.name} ran out of memory with {dict(job.network.arguments)} and batches of {size} windows of "
                f"{bars} bars x {wide} features; lower batch_size, raise accumulate, or take a smaller network."
            ) from error
        finally:
            self.__dict__.pop("_waiting", None)

    def _trained(self, job: TrainingJob, params: Mapping[str, Any]) -> tuple[dict[str, Any], TrainingResult]:
        from huracan.training import Supervised, TrainingLoop
        from huracan.training.outcome import train_once
        from huracan.training.runtime import Runtime

        network = job.network.build()
        start = self.estimator_.state_dict() if params["warm_start"] and hasattr(self, "estimator_") else None
        if start is not None:
            try:
                network.load_state_dict(start)
            except RuntimeError as error:
                raise ModelError(
                    f"{self.spec.name} cannot go on from its last fit: its network has other sizes now; fit a new one."
                ) from error
        identity = None if params["checkpoints"] is None else job.identity(start)

        def train(checkpoints: CheckpointFolder | None) -> tuple[dict[str, Any], TrainingResult]:
            with torch_threads(self._threads()):
                loop = TrainingLoop(
                    network,
                    Supervised(job.objective),
                    job.train,
                    job.validation,
                    settings=job.settings,
                    runtime=Runtime(params["device"]),
                    checkpoints=checkpoints,
                    identity=identity,
                    on_epoch=self._log_epoch if params["verbose"] else None,
                )
                result = loop.run()
            return network.state_dict(), result

        return train(None) if identity is None else train_once(Path(params["checkpoints"]) / identity[:16], train)

    def _log_epoch(self, record: EpochRecord) -> None:
        loss = next(iter(record.losses.values()))
        told = {"loss": loss, "validation_loss": record.validation_loss, "windows_per_second": round(record.windows_per_second)}
        logger().info("epoch done", learner=self.spec.name, epoch=record.epoch, of=self._params()["max_epochs"], **told)

    def outline(self) -> tuple[LoopSettings, torch.nn.Module]:
        """Settings of the loop, and the network for one feature and one output: what can be refused before there is data."""
        require_torch()
        from huracan.training.job import NetworkRecipe

        params = self._params()
        require_window(params["window"], window_scaling(params))
        assert self.spec.network is not None
        sizes = {"n_features": 1, "window": params["window"], "n_outputs": 1}
        network = NetworkRecipe(self.spec.network, {**sizes, **network_arguments(params)}).build()
        return loop_settings(params, self._seed()), network

    def prepare(self, X: Any, y: Any = None, sample_weight: Any = None) -> TrainingJob:
        """Check and scale everything and describe the training, without doing it; :meth:`finish` takes its outcome.

        This is how a training is handed to other processes. What was learned of the data on the way (scales, classes, names)
        waits in the model for :meth:`finish`; until then it forecasts as before.
        """
        require_torch()
        began = time.perf_counter()
        model = self._snapshot() if self._params()["warm_start"] else self._blank()
        job = model._described(X, y, sample_weight)
        self._waiting = {**model._fitted_state(), "_began": began}
        return job

    def _described(self, X: Any, y: Any, sample_weight: Any) -> TrainingJob:
        import torch

        from huracan.training.job import TrainingJob
        from huracan.training.windows import WindowTable

        params = self._params()
        require_window(params["window"], window_scaling(params))
        source, told, weight, n = self._chosen(X, y, sample_weight, params)
        give_back_freed_memory()  # what choosing took, before the table, which is all that a large fit holds
        values, last = source.table(params["window"], self.scaler_)
        del source
        windows = WindowTable(
            torch.from_numpy(values),
            torch.from_numpy(last),
            params["window"],
            y=torch.from_numpy(told),
            weight=None if weight is None else torch.from_numpy(weight),
        )
        loss, quantiles, _ = self._loss(params)
        return TrainingJob(
            network=self._recipe(params),
            loss=loss,
            quantiles=quantiles,
            train=_span(windows, slice(0, n)),
            validation=_span(windows, slice(n, None)) if n < len(windows) else None,
            constant=tuple(self.constant_.tolist()) if self.constant_.any() else (),
            settings=loop_settings(params, self._seed()),
        )

    def _chosen(
        self, X: Any, y: Any, sample_weight: Any, params: Mapping[str, Any]
    ) -> tuple[TableSource, NDArray[Any], NDArray[np.float32] | None, int]:
        """Windows to learn from and, after the first so many, to validate on; their targets as the network learns them, and
        their weights, None where all are the same.
        """
        keep = hasattr(self, "scaler_")
        rows, target, weight = self._training_rows(X, y, sample_weight, reset=not keep)
        usable = rows.complete(params["window"]) & (weight > 0)
        if not usable.any():
            longest = int(rows.before.max(initial=-1)) + 1
            raise NotEnoughData(
                f"{self.spec.name} got no window of {params['window']} unbroken bars with a label and a weight; the longest "
                f"unbroken run has {longest} bars. Shorten window, give more history, or say which steps in time are no gaps "
                "(longest_step of TrainingSet.from_arrays)."
            )
        chosen = np.flatnonzero(usable)
        cap = self._row_cap()
        if cap is not None and len(chosen) > cap:
            level = "warning" if isinstance(self.max_train_rows, str) else "info"  # a profile's cap may not be known
            getattr(logger(), level)("only the most recent rows are used", learner=self.spec.name, rows=cap, of=len(chosen))
            chosen = np.sort(chosen[np.argsort(rows.times.decision[chosen], kind="stable")[-cap:]])
        self._check_target(target[chosen], keep)
        self._require_enough(chosen)
        train, late = purged_tail(rows.times, chosen, share=params["validation_share"], embargo=params["embargo"])
        coded = self._code(target, train, weight, keep)
        balanced = self._class_weight(coded, train, weight, params)
        train, late = train[balanced[train] > 0], late[balanced[late] > 0]
        late = late[:0] if len(late) < FEWEST_VALIDATED else late
        self._require_enough(train)
        if not keep:
            self.constant_ = self._constant(coded[train], balanced[train])
            scaling, window = window_scaling(params), params["window"]
            self.scaler_ = window_scaler(
                X, rows, train, scaling=scaling, window=window, clip=self.clip, names=self.feature_names_
            )
        self.n_train_rows_, self.n_validation_rows_ = len(train), len(late)
        self.weight_used_ = bool(np.ptp(weight[chosen]) > 0) or params["class_weight"] is not None
        both = np.concatenate((train, late))
        weights = balanced[both].astype(np.float32) if self.weight_used_ else None
        own = not isinstance(X, TrainingSet) and is_own_copy(rows.values, X)
        return rows.source(both, own=own), coded[both], weights, len(train)

    def finish(self, job: TrainingJob, parameters: Mapping[str, torch.Tensor], result: TrainingResult) -> Self:
        """Take the parameters that a prepared training came to, on any device and in any precision, and how it went.

        Raises
        ------
        ModelError : :meth:`prepare` was not called before.
        """
        waiting = self.__dict__.pop("_waiting", None)
        if waiting is None:
            raise ModelError(
                f"{self.spec.name} has prepared no training whose outcome it could take; call prepare before finish."
            )
        model = self._blank()
        model.__dict__.update(waiting)
        model.training_, model.fit_seconds_ = result, time.perf_counter() - model.__dict__.pop("_began")
        model.estimator_ = job.network.build().eval()
        model.estimator_.load_state_dict(parameters)
        with torch_threads(self._threads()):
            model.importance_ = input_saliency(model.estimator_, job.train, model._told)
        return self._take(model)

    def feature_importance(self) -> dict[str, float]:
        """How much what is forecast moves with each feature, over the bars of a window, by :func:`input_saliency`; sums to 1.

        Of several outputs each counts alike; of quantiles the median; of classes each score less their mean.
        """
        model = self._snapshot()
        check_is_fitted(model, "estimator_")
        return dict(zip(model.feature_names_, model.importance_.tolist(), strict=True))

    def _require_enough(self, rows: NDArray[np.int64]) -> None:
        if len(rows) < MIN_TRAIN_ROWS:
            raise NotEnoughData(
                f"{self.spec.name} got {len(rows)} sample(s) to learn from; at least {MIN_TRAIN_ROWS} are needed."
            )

    def _training_rows(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[WindowedRows, NDArray[Any], NDArray[np.float64]]:
        """Rows, targets, and weights, 0 where the label is not known."""
        if not isinstance(X, TrainingSet):
            require_same_index(X, y)
        rows = self._windowed(X, reset=reset)
        n = len(rows.place)
        if isinstance(X, TrainingSet):
            wrong = ~X.labelled & ~np.isnat(X.label_end)
            if wrong.any():
                at = int(np.argmax(wrong))
                raise DataError(f"y holds NaN in row {at} ({X.symbol[at]}, {X.ts[at]}); a finite number was expected.")
            if y is None:
                target = np.where(X.labelled, X.y, 0.0) if self._task == "regression" else X.direction()
            else:
                target = given_target(y, n, X.labelled)
            given = checked_weight(X.weight if sample_weight is None else sample_weight, n)
            weight = X.labelled.astype(np.float64) if given is None else given * X.labelled
        else:
            target = given_target(y, n, None)
            given = checked_weight(sample_weight, n)
            weight = np.broadcast_to(1.0, n) if given is None else given  # which takes no memory
        if not (weight > 0).any():
            raise DataError(f"sample_weight is zero in all {n} rows; at least one positive weight is needed.")
        return rows, target, weight

    def _windowed(self, X: Any, *, reset: bool) -> WindowedRows:
        """The rows, checked for columns and for values that are no numbers."""
        params = self._params()
        if isinstance(X, TrainingSet):
            if reset:
                self.feature_names_ = X.feature_names
                self.n_features_in_ = len(X.feature_names)
            elif X.feature_names != self.feature_names_:
                raise other_columns(self.spec.name, X.feature_names, self.feature_names_)
            require_finite(X.X, X.feature_names, given=X)
            return WindowedRows.of(X)
        horizon = params["label_horizon"]
        if dimensions(X) is None:  # a list, or what else becomes an array
            X = as_array(X, "X", "rows and columns of numbers, or windows of them, were")
        if dimensions(X) != 3:
            matrix = self._matrix(X, reset=reset)
            return WindowedRows.of_rows(X, matrix, label_horizon=horizon)
        bars, wide = X.shape[1:]
        if bars < params["window"]:
            raise DataError(f"X holds windows of {bars} bars; {self.spec.name} looks at {params['window']} (its window).")
        array = as_rows(X.reshape(-1, wide)).reshape(X.shape)
        if reset:
            self.n_features_in_ = wide
            self.feature_names_ = tuple(f"x{i}" for i in range(wide))
        elif wide != self.n_features_in_:
            raise DataError(f"X has {wide} features, but {self.spec.name} is expecting {self.n_features_in_}.")
        require_finite(array.reshape(-1, wide), self.feature_names_)
        return WindowedRows.of(array, RowTimes.of(array, label_horizon=horizon))

    def _check_target(self, target: NDArray[Any], keep: bool) -> None:
        """Refuse targets that nothing can be learned from."""

    def _code(self, target: NDArray[Any], train: NDArray[np.int64], weight: NDArray[np.float64], keep: bool) -> NDArray[Any]:
        """Targets as the network learns them, float32 (n, outputs) or int64 (n,); moments and classes from ``train``."""
        raise NotImplementedError

    def _constant(self, coded: NDArray[Any], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs of the best forecast that is the same for all rows, by targets as they are learned, and their weights."""
        raise NotImplementedError

    def _class_weight(
        self, coded: NDArray[Any], train: NDArray[np.int64], weight: NDArray[np.float64], params: Mapping[str, Any]
    ) -> NDArray[np.float64]:
        """Weights with what the row's class counts, 0 for a class that is not learned."""
        if params["class_weight"] is not None:
            raise ModelError(f"class_weight is {params['class_weight']!r}, but {self.spec.name} was built for regression.")
        return weight

    def _told(self, output: torch.Tensor) -> torch.Tensor:
        """Of the network's outputs (batch, outputs) what the model says, (batch, any number)."""
        raise NotImplementedError

    # --- predicting ------------------------------------------------------------------------------------------------

    def _raw(self, X: Any) -> NDArray[np.float64]:
        """What the network says of each row; the constant forecast where there is no whole window."""
        check_is_fitted(self, "estimator_")
        import torch

        from huracan.training.runtime import as_device
        from huracan.training.windows import WindowTable

        params = self._params()
        if not issparse(X) and hasattr(X, "__len__") and len(X) == 0:
            return np.empty((0, len(self.constant_)))
        rows = self._windowed(X.rows if isinstance(X, AskedRows) else X, reset=False)
        asked = np.asarray(X.which) if isinstance(X, AskedRows) else np.arange(len(rows.place))
        output = np.tile(self._link(self.constant_[None]), (len(asked), 1))
        usable = np.flatnonzero(rows.complete(params["window"])[asked])
        if not len(usable):
            warnings.warn(
                f"{self.spec.name} was asked about {len(output)} row(s) none of which has its window of {params['window']} "
                "unbroken bars, and says the constant; give the bars before them, too.",
                stacklevel=3,
            )
            return output
        device, network = as_device(params["device"]), self.estimator_
        if device.type != "cpu":  # a copy, since other threads may ask at the same time, and what is stored lies on the CPU
            network = copy.deepcopy(network).to(device)
        with torch.inference_mode(), torch_threads(self._threads()):
            for first in range(0, len(usable), _SCALED_WINDOWS):
                some = usable[first : first + _SCALED_WINDOWS]
                values, last = rows.table(asked[some], params["window"], self.scaler_)
                table = WindowTable(torch.from_numpy(values), torch.from_numpy(last), params["window"])
                windows = table.to(device, torch.float32)
                parts = [network(batch.x).double().cpu().numpy() for batch in windows.in_order(_PREDICT_ROWS)]
                output[some] = self._link(np.concatenate(parts) + self.constant_)
        return output

    @property
    def history_bars(self) -> int:
        """Bars before a row that its forecast looks at."""
        return int(self._params()["window"]) - 1

    def _link(self, output: NDArray[np.float64]) -> NDArray[np.float64]:
        return output


def _span(windows: WindowTable, span: slice) -> WindowTable:
    """Those windows over the same table; nothing is copied."""
    weight = None if windows.weight is None else windows.weight[span]
    return replace(windows, last=windows.last[span], y=None if windows.y is None else windows.y[span], weight=weight)
