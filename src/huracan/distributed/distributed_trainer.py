"""Train any estimator of the catalogue that is a network on many processes, as ``fit`` trains it on one."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from huracan.distributed.axes import ParallelAxes
from huracan.distributed.config import DistributedConfig
from huracan.distributed.run_home import RunHome
from huracan.errors import ConfigError, HuracanError, ModelError, WorkerError

if TYPE_CHECKING:
    from huracan.distributed.placement import Placement
    from huracan.training.history import EpochRecord, TrainingResult
    from huracan.training.job import TrainingJob

__all__ = ["DistributedTrainer", "Preparable", "starting_parameters"]


class Preparable(Protocol):
    """An estimator that can describe its training, and take what came of it."""

    def prepare(self, X: Any, y: Any = None, sample_weight: Any = None) -> TrainingJob:
        """Check everything and describe the training."""
        ...

    def finish(self, job: TrainingJob, parameters: Mapping[str, Any], result: TrainingResult) -> Any:
        """Take what the training came to; ``job`` holds a sample of its windows."""
        ...


E = TypeVar("E", bound=Preparable)


class DistributedTrainer:
    """Put an estimator's training on many processes of one host, or of many.

    Parameters
    ----------
    config : how; two data parallel processes on this host by default.
    on_epoch : called with every epoch that is done.
    on_restart : called with a sentence where processes were lost and all started again.

    Examples
    --------
    >>> import numpy as np
    >>> from huracan.catalogue import build_model
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((600, 2)); y = X[:, 0]
    >>> trainer = DistributedTrainer(DistributedConfig(strategy="none", processes=1))
    >>> model = trainer.fit(build_model("linear_network", window=4, max_epochs=30, learning_rate=0.05), X, y)
    >>> bool(np.corrcoef(model.predict(X)[3:], y[3:])[0, 1] > 0.98)
    True
    """

    def __init__(
        self,
        config: DistributedConfig | None = None,
        *,
        on_epoch: Callable[[EpochRecord], None] | None = None,
        on_restart: Callable[[str], None] | None = None,
    ) -> None:
        self.config = config or DistributedConfig()
        self.on_epoch, self.on_restart = on_epoch, on_restart

    def fit(self, estimator: E, X: Any, y: Any = None, sample_weight: Any = None) -> E:
        """Fit an estimator; called in a process that ``torchrun`` started, take part in what its processes do together.

        With ``config.folder`` the same call goes on where an earlier one was stopped, and what is done is not done again.

        Raises
        ------
        ConfigError : batch or network cannot be divided as asked. ModelError : as ``fit`` of the estimator, and for a
            folder that holds another training. WorkerError : a process is missing, or was lost too often.
        """
        if self._here()[0].folder is None:
            return self._fit_for_once(estimator, X, y, sample_weight)
        self.prepare(estimator, X, y, sample_weight)
        return self.train(estimator)

    def check(self, estimator: Any) -> None:
        """Refuse settings of an estimator that is a network of the catalogue before there is any data.

        Raises
        ------
        ConfigError : its batch or its network cannot be divided as asked. ModelError : a setting is out of bounds.
        """
        settings, network = estimator.outline()
        axes = ParallelAxes.of(self.config, self.config.world)
        axes.check_batch(settings)
        axes.check_network(network)

    def prepare(self, estimator: Preparable, X: Any, y: Any = None, sample_weight: Any = None) -> None:
        """Write a training into ``config.folder``, for :meth:`train` or ``torchrun ... -m huracan.distributed FOLDER``."""
        self._home(self._here()[0])
        if not hasattr(estimator, "prepare") or not hasattr(estimator, "finish"):
            name = type(estimator).__name__
            raise ConfigError(f"{name} cannot be trained on many processes; a network that forecasts was expected.")
        self.write(estimator, estimator.prepare(X, y, sample_weight))

    def write(self, estimator: Preparable, job: TrainingJob) -> None:
        """Write what an estimator has prepared into ``config.folder``; afterwards the job in memory is needed no more."""
        config, placement = self._here()
        if config.checkpoint_every is not None:
            job = replace(job, settings=replace(job.settings, checkpoint_every=config.checkpoint_every))
        axes = ParallelAxes.of(config, config.world)
        axes.check_batch(job.settings)
        axes.check_network(network := job.network.build())
        home, start = self._home(config), starting_parameters(estimator)
        if start is not None:
            try:
                network.load_state_dict(start)
            except RuntimeError as error:
                raise ModelError("warm_start: the network has other sizes than in the last fit; train a new one.") from error
        if config.is_head if placement is None else placement.rank == 0:
            home.open(job, config, start)
        else:
            _wait_for(home, job.identity(start), config.timeout)

    def train(self, estimator: E) -> E:
        """Do what was written into ``config.folder``, unless it is done, and let the estimator take what came of it."""
        config, placement = self._here()
        home = self._home(config)
        if (outcome := home.read_outcome()) is None:
            self._train(home, config, placement)
            outcome = home.read_outcome()
        if outcome is None:
            raise WorkerError(f"the processes ended without an outcome in {home.folder}; what they printed is in {home.logs}.")
        estimator.finish(home.read_job(), *outcome)
        return estimator

    def _fit_for_once(self, estimator: E, X: Any, y: Any, sample_weight: Any) -> E:
        """Fit in a folder that goes with success; where processes failed it stays, since their reasons are in it."""
        home = RunHome(tempfile.mkdtemp(prefix="huracan-training-"))
        there = DistributedTrainer(replace(self.config, folder=home.folder), on_epoch=self.on_epoch, on_restart=self.on_restart)
        stays = False
        try:
            return there.fit(estimator, X, y, sample_weight)
        except HuracanError as error:
            stays = home.logs.is_dir()
            if not stays:
                raise
            kept = f"{str(error).rstrip('.')}. Kept for a look or to go on, until you remove it: folder={str(home.folder)!r}."
            raise type(error)(kept) from error
        finally:
            if not stays:
                shutil.rmtree(home.folder, ignore_errors=True)

    def _train(self, home: RunHome, config: DistributedConfig, placement: Any) -> None:
        if placement is None and config.world > 1:
            from huracan.distributed.launching import launch

            launch(home, config, self.on_epoch, self.on_restart)
        else:
            from huracan.distributed.placement import Placement
            from huracan.distributed.worker import train_here

            train_here(home, config, placement or Placement(), on_epoch=self.on_epoch)

    def _here(self) -> tuple[DistributedConfig, Placement | None]:
        """The settings for the processes that there are, and which of them this is where somebody else started them."""
        from huracan.distributed.placement import Placement

        placement = Placement.of_environment()
        if placement is None:
            return self.config, None
        if self.config.folder is None and placement.world > 1:
            raise ConfigError(f"folder is None; one that all {placement.world} processes share was expected.")
        return replace(self.config, processes=placement.world, hosts=1, fewest_hosts=None), placement

    @staticmethod
    def _home(config: DistributedConfig) -> RunHome:
        if config.folder is None:
            raise ConfigError("folder is None; a folder to write the training to was expected.")
        return RunHome(config.folder)


def starting_parameters(estimator: Any) -> Mapping[str, Any] | None:
    """The parameters of the last fit, where an estimator is to go on from them (``warm_start``); None where it begins anew."""
    warm = estimator.get_params().get("warm_start", False) if hasattr(estimator, "get_params") else False
    return estimator.estimator_.state_dict() if warm and hasattr(estimator, "estimator_") else None


def _wait_for(home: RunHome, digest: str, timeout: float) -> None:
    """Until the first process has written this job."""
    deadline = time.monotonic() + timeout
    while home.digest() != digest:
        if time.monotonic() > deadline:
            raise WorkerError(f"the first process wrote no such training to {home.folder} within {timeout:g} s; is it shared?")
        time.sleep(0.1)
