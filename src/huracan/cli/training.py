"""``huracan train``: one network on candles, on as many processes as asked."""

from __future__ import annotations

import csv
import io
import json
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from huracan.cli.options import STOPPED_BY_HAND, ConfigFile, load
from huracan.cli.progress import progress_on_terminal

if TYPE_CHECKING:
    from huracan.baselines.spec import LearnerSpec
    from huracan.config import HuracanConfig
    from huracan.dataset import TrainingSet
    from huracan.distributed import DistributedConfig
    from huracan.integration.preparation import Prepared
    from huracan.integration.trained_models import TrainedOn
    from huracan.training import EpochRecord, TrainingResult

__all__ = ["train"]

_STEPS = "▁▂▃▄▅▆▇█"
_WIDEST = 60


def train(
    candles: Annotated[
        Path | None, typer.Argument(help="File or folder of candles; data.source of the configuration, or a simulated market.")
    ] = None,
    learner: Annotated[str | None, typer.Option(help="A network of the catalogue; lstm unless given.")] = None,
    task: Annotated[
        str | None, typer.Option(help="regression (of the label, unless given) or classification (of its direction).")
    ] = None,
    begin: Annotated[
        Path | None,
        typer.Option("--from", help="The model folder of a finished training, whose parameters to begin with, at fresh rates."),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A hyperparameter: name=value, as in window=64.")] = None,
    strategy: Annotated[str | None, typer.Option(help="none, ddp, fsdp2, tp, pp or fsdp2_tp.")] = None,
    processes: Annotated[int, typer.Option(help="Processes on this host.")] = 1,
    tensor_parallel: Annotated[int | None, typer.Option(help="Processes that share a matrix (tp, fsdp2_tp).")] = None,
    micro_batches: Annotated[int | None, typer.Option(help="Pieces a batch goes through the pipeline in (pp).")] = None,
    schedule: Annotated[str, typer.Option(help="Of the pipeline: 1f1b or gpipe.")] = "1f1b",
    threads: Annotated[int, typer.Option(help="Of each process.")] = 1,
    timeout: Annotated[float, typer.Option(help="Seconds after which a process that does not answer is missing.")] = 60.0,
    device: Annotated[str, typer.Option(help="auto (CUDA where each process has a device), cpu or cuda.")] = "auto",
    checkpoint_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None,
    max_restarts: Annotated[int, typer.Option(help="How often lost processes are started again.")] = 3,
    hosts: Annotated[int, typer.Option(help="Hosts; the same command runs on each, see docs/many_hosts.md.")] = 1,
    fewest_hosts: Annotated[int | None, typer.Option(help="Hosts without which training stops; all unless given.")] = None,
    head: Annotated[str | None, typer.Option(help="address:port of the first host.")] = None,
    local_address: Annotated[str | None, typer.Option(help="This host's address.")] = None,
    is_head: Annotated[bool, typer.Option(help="Whether this is the first host.")] = True,
    folder: Annotated[Path | None, typer.Option(help="Of this training; under the home folder unless given.")] = None,
    config: ConfigFile = None,
    profile: Annotated[str | None, typer.Option(help="Train on at most its number of rows; all unless given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    home: Annotated[Path | None, typer.Option(help="Folder for database, models, runs and reports.")] = None,
) -> None:
    """Train one network on candles, all but the locked hold-out; the same command goes on where it was stopped."""
    from huracan.distributed import DistributedConfig, DistributedTrainer
    from huracan.errors import ConfigError

    settings = load(config, profile=profile, seed=seed, home=home)
    chosen = _hyperparameters(set_ or [])
    model = _model(learner, task, begin, {"random_state": settings.seed, **chosen})
    how = DistributedConfig(
        strategy=strategy or ("none" if processes * hosts == 1 else "ddp"),  # type: ignore[arg-type]
        processes=processes,
        tensor_parallel=tensor_parallel,
        micro_batches=micro_batches,
        schedule=schedule,  # type: ignore[arg-type]
        threads=threads,
        timeout=timeout,
        device=device,
        checkpoint_every=checkpoint_every,
        max_restarts=max_restarts,
        hosts=hosts,
        fewest_hosts=fewest_hosts,
        head=head,
        local_address=local_address,
        is_head=is_head,
        folder=folder if folder is not None or hosts == 1 else settings.home / "trainings",
    )
    if not hasattr(model, "prepare"):
        raise ConfigError(f"'{model.spec.name}' is no network; train one of lstm, gru, cnn, transformer, mlp, linear_network.")
    if profile is not None and "max_train_rows" not in chosen:
        model.set_params(max_train_rows=_row_cap(settings, model.spec))
    DistributedTrainer(how).check(model)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is work to put in order
    try:
        with progress_on_terminal("reading candles") as progress:
            where, trained_on, training, labelled = _fit(model, settings, candles, how, folder, progress)
    except KeyboardInterrupt:
        raise SystemExit(STOPPED_BY_HAND) from None
    _save(model, where)
    _print_result(model.spec.name, model.training_, how, where)
    used = model.n_train_rows_ + model.n_validation_rows_
    typer.echo(f"Rows: {used:,} of {labelled:,} with a label, {model.n_validation_rows_:,} of them to say when to stop.")
    if is_head:
        _register(model, settings, trained_on, training, config)


def _model(learner: str | None, task: str | None, begin: Path | None, given: dict[str, Any]) -> Any:
    """A new network, or that of a finished training, which is gone on with."""
    from huracan.catalogue import build_model
    from huracan.errors import ConfigError

    if begin is None:
        return build_model(learner or "lstm", task=_task(task or "regression"), **given)
    from huracan.errors import ArtifactError
    from huracan.registry.formats import load_model

    try:
        model = load_model({path.name: path.read_bytes() for path in begin.iterdir() if path.is_file()})
    except OSError as error:
        raise ArtifactError(f"--from is {begin}: {error.strerror}; the model folder of a training was expected.") from error
    info = model.model_info()
    for option, wanted, there in (("--learner", learner, info.name), ("--task", task, info.task)):
        if wanted not in (None, there):
            raise ConfigError(f"{option} is '{wanted}', but {begin} holds '{there}'.")
    return model.set_params(warm_start=True, **given)


def _rows(settings: HuracanConfig, candles: Path | None) -> tuple[TrainingSet, Prepared]:
    """Labelled rows before the hold-out, prepared as the main job prepares them, and what they were made of."""
    from huracan.integration.preparation import prepare, read_source
    from huracan.validation import lock_hold_out

    prepared = prepare(settings, read_source(settings, candles))
    rows, share = prepared.rows, settings.validation.hold_out_share
    if share > 0:
        rows, _ = lock_hold_out(rows, share=share, embargo=settings.validation.embargo_bars)
    return rows, prepared


def _row_cap(settings: HuracanConfig, spec: LearnerSpec) -> int | None:
    """Most rows the profile lets this learner train on; of a profile without it what the catalogue declares, if it knows it."""
    from huracan.catalogue import PROFILES

    listed = settings.profiles[settings.profile].learners
    if spec.name in listed:
        return listed[spec.name].max_train_rows
    return spec.row_cap(settings.profile) if settings.profile in PROFILES else None


def _fit(
    model: Any, settings: HuracanConfig, candles: Path | None, how: DistributedConfig, folder: Path | None, progress: Any
) -> tuple[Path, TrainedOn, str, int]:
    """Train; the folder is named after what is trained, so that the same command finds it again.

    Rows are prepared once and written; while processes train, neither rows nor their copy is in this one's memory.

    Returns
    -------
    The folder, what the network was trained on, what the training is known by, and how many rows had a label.
    """
    from huracan.distributed import DistributedTrainer
    from huracan.distributed.distributed_trainer import starting_parameters
    from huracan.integration.trained_models import TrainedOn

    rows, prepared = _rows(settings, candles)
    job = model.prepare(rows)
    trained_on, labelled = TrainedOn.of(settings, prepared, rows, model), int(rows.labelled.sum())
    del rows, prepared
    progress("features and labels are ready", 0.1)
    training = job.identity(starting_parameters(model))[:12]
    where = folder or settings.home / "trainings" / f"{model.spec.name}-{training}"
    share = 0.9 / job.settings.max_epochs

    def told(record: EpochRecord) -> None:
        validation = "" if record.validation_loss is None else f", validation {record.validation_loss:.5g}"
        loss = next(iter(record.losses.values()))
        progress(f"epoch {record.epoch}: {loss:.5g}{validation}", share)

    def lost(sentence: str) -> None:
        typer.echo(f"huracan: {sentence}", err=True)

    trainer = DistributedTrainer(replace(how, folder=where), on_epoch=told, on_restart=lost)
    trainer.write(model, job)
    del job
    trainer.train(model)
    return where, trained_on, training, labelled


def _register(model: Any, settings: HuracanConfig, trained_on: TrainedOn, training: str, config: Path | None) -> None:
    """Put the network into the registry, and say how to get an answer of it."""
    from huracan.integration.trained_models import register_trained
    from huracan.integration.unified_pipeline import UnifiedMLPipeline

    version = register_trained(UnifiedMLPipeline(settings).registry, model, trained_on, training=f"training-{training}")
    there = {"home": str(settings.home.resolve())} if settings.registry.url is None else str(config) if config else None
    typer.echo(
        f"Registered: version {version} of '{trained_on.name}'; champion of nothing, since nothing has judged it. In Python:"
    )
    typer.echo("  from huracan import UnifiedMLPipeline")
    typer.echo(f'  UnifiedMLPipeline({there!r}).forecast("{trained_on.name}@{version}", "new_candles.parquet")')


def _save(model: Any, where: Path) -> None:
    """The model in the registry's format, and its losses as JSON and CSV."""
    from huracan.registry.formats import dump_model
    from huracan.storage.whole_files import put_file

    for name, content in dump_model(model).items():
        put_file(where / "model" / name, content)
    history = model.training_.history
    put_file(where / "losses.json", json.dumps([asdict(record) for record in history], indent=1).encode())
    text = io.StringIO()
    phases = list(history[0].losses) if history else []
    writer = csv.writer(text)
    writer.writerow(["epoch", "step", *phases, "validation", "learning_rate", "windows_per_second"])
    for r in history:
        losses = [r.losses.get(phase, "") for phase in phases]
        validation = "" if r.validation_loss is None else r.validation_loss
        writer.writerow([r.epoch, r.step, *losses, validation, r.learning_rate, r.windows_per_second])
    put_file(where / "losses.csv", text.getvalue().encode())


def _print_result(learner: str, result: TrainingResult, how: DistributedConfig, where: Path) -> None:
    went_on = "" if result.resumed_from is None else f", the last of them from step {result.resumed_from} on"
    typer.echo(f"{learner}: {len(result.history)} epoch(s), {result.steps} steps{went_on}; {result.stopped}.")
    curves = {"training": result.losses, "validation": result.validation_losses}
    for name, losses in curves.items():
        if losses:
            typer.echo(f"{name:>10}  {_curve(losses)}  {losses[0]:.5g} to {losses[-1]:.5g}, least {min(losses):.5g}")
    kept = f"epoch {result.best_epoch}" if result.best_epoch else "the start, since no epoch did better on validation"
    typer.echo(f"Kept: {kept}, loss {result.best_loss:.5g}, in units of the standardised label.")
    on = f"{how.world} process(es), {how.strategy}"
    typer.echo(f"Throughput: {result.windows_per_second:,.0f} windows a second on {on}.")
    typer.echo(f"Model: {(where / 'model').resolve()}")
    typer.echo(f"Losses: {(where / 'losses.csv').resolve()}")


def _curve(losses: list[float]) -> str:
    """Losses as a line of small bars.

    >>> _curve([4.0, 2.0, 1.0, 0.5])
    '█▄▂▁'
    """
    step = -(-len(losses) // _WIDEST)
    shown = losses[::step]
    low, span = min(shown), (max(shown) - min(shown)) or 1.0
    return "".join(_STEPS[round((loss - low) / span * (len(_STEPS) - 1))] for loss in shown)


def _task(name: str) -> Any:
    from huracan.errors import nearest_name

    if name not in ("regression", "classification"):
        raise nearest_name(name, ("regression", "classification"), kind="task")
    return name


def _hyperparameters(given: list[str]) -> dict[str, Any]:
    """``name=value`` as Python values: numbers, booleans, none, else text."""
    import yaml

    from huracan.errors import ConfigError

    found: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set got '{pair}'; name=value was expected, as in window=64.")
        try:
            found[name] = None if value.lower() == "none" else yaml.safe_load(value)
        except yaml.YAMLError:
            found[name] = value
        if isinstance(found[name], str) and _is_number(value):  # YAML 1.1 takes 1e-3 for text
            found[name] = float(value)
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
