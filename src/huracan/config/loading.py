"""Reading the configuration: file, then environment, then what the caller says; the later wins.

``HURACAN_HOME`` sets ``home`` (where it is empty it counts as not set); ``HURACAN__LABELS__HORIZON=4`` sets
``labels.horizon`` (two underscores a level).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from huracan.config.schema import HuracanConfig
from huracan.errors import ConfigError

__all__ = ["config_hash", "feedback_hash", "load_config"]

_PREFIX = "HURACAN__"
_Path = tuple[str, ...]
_FEEDBACK = {"drift", "retrain", "mechanic"}
_ONLY_RUNS = {
    "lease_seconds",
    "webhook_url",
    "metrics_port",
    "source",
    "folder",
    "exchange",
    "bar",
    "every",
    "delay",
    "wait_for_bars",
    "replay_synchronous",
}
"""What a Mechanic is told of its surroundings, which changes nothing that it decides."""


def load_config(
    source: str | Path | Mapping[str, Any] | HuracanConfig | None = None, *, environ: Mapping[str, str] | None = None
) -> HuracanConfig:
    """Read and check a configuration.

    Parameters
    ----------
    source : path of a YAML file, a mapping, a ready ``HuracanConfig`` (taken as it is), or None for the defaults.
    environ : environment variables that override the source; ``os.environ`` when None.

    Raises
    ------
    ConfigError : the file cannot be read, or a key or value is wrong: with its line, the value and the nearest right key.

    Examples
    --------
    >>> load_config({"labels": {"horizon": 4}}, environ={"HURACAN__SEED": "7"}).seed
    7
    >>> load_config({"lables": {"horizon": 4}}, environ={})
    Traceback (most recent call last):
    huracan.errors.ConfigError: unknown key 'lables'; did you mean 'labels'?
    """
    if isinstance(source, HuracanConfig):
        return source
    places: dict[_Path, str] = {}
    if source is None:
        values: dict[str, Any] = {}
    elif isinstance(source, Mapping):
        values = _plain(source)
    else:
        values, places = _read_yaml(Path(source))
    _apply_environment(values, places, os.environ if environ is None else environ)
    _complete_profiles(values)
    try:
        return HuracanConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, places)) from None


def config_hash(config: HuracanConfig, *, search: bool = False) -> str:
    """SHA-256 of every setting that can change a run's models; folders, logging and the feedback loop are left out.

    Parameters
    ----------
    search : whether the result is that of ``huracan automl``, which knows neither the profile's learners nor their ensembles;
        the main job knows nothing of ``automl``, and neither of ``rl``.
    """
    others = {"profile", "ensemble", "rl"} if search else {"automl", "rl"}
    content = config.model_dump(mode="json", exclude={"home", "logging", "profiles", *_FEEDBACK, *others})
    content["data"].pop("source")
    content["training"].pop("n_jobs")
    if not search:
        content["profile"] = config.active_profile.model_dump(mode="json")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def feedback_hash(config: HuracanConfig) -> str:
    """SHA-256 of every setting that can change what a Mechanic decides: those of a run, and those of the feedback loop.

    Where candles come from, how often, how alerts are sent and who may work count as surroundings and are left out.
    """
    content = config.model_dump(mode="json", include=_FEEDBACK, exclude={"mechanic": _ONLY_RUNS})
    told = json.dumps([config_hash(config), config.seed, content], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return {str(k): _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[_Path, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"configuration {path} cannot be read: {reason}; a UTF-8 YAML file was expected.") from error
    places: dict[_Path, str] = {}
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        content = {} if node is None else _build(loader, node, (), places, path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds a {type(content).__name__}; keys and values were expected.")
    return content, places


def _build(loader: yaml.SafeLoader, node: yaml.Node, at: _Path, places: dict[_Path, str], path: Path) -> Any:
    """Turn a node into plain values, remembering the line of every key; a key that stands twice is refused."""
    places.setdefault(at, f"{path}, line {node.start_mark.line + 1}: ")
    if isinstance(node, yaml.MappingNode):
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            line = key_node.start_mark.line + 1
            if key in built:
                raise ConfigError(f"{path}, line {line}: key '{key}' stands twice; one of the two is a mistake.")
            places[(*at, key)] = f"{path}, line {line}: "
            built[key] = _build(loader, value_node, (*at, key), places, path)
        return built
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*at, str(i)), places, path) for i, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def _apply_environment(values: dict[str, Any], places: dict[_Path, str], environ: Mapping[str, str]) -> None:
    if environ.get("HURACAN_HOME"):
        values["home"] = environ["HURACAN_HOME"]
        places[("home",)] = "environment variable HURACAN_HOME: "
    for name in sorted(environ):
        if not name.startswith(_PREFIX):
            continue
        keys = tuple(part.lower() for part in name.removeprefix(_PREFIX).split("__"))
        section = values
        for key in keys[:-1]:
            inner = section.setdefault(key, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"environment variable {name}: '{key}' is a value, not a section.")
            section = inner
        try:
            section[keys[-1]] = yaml.safe_load(environ[name])
        except yaml.YAMLError as error:
            raise ConfigError(f"environment variable {name}={environ[name]!r} is not a valid value.") from error
        for depth in range(1, len(keys) + 1):
            places.setdefault(keys[:depth], f"environment variable {name}: ")
        places[keys] = f"environment variable {name}: "


def _complete_profiles(values: dict[str, Any]) -> None:
    """Fill in what the user leaves out: profiles not mentioned, and keys of those that exist by default.

    A list of learners that is given replaces the default list as a whole.
    """
    given = values.get("profiles")
    if not isinstance(given, dict):
        return
    profiles: dict[str, Any] = dict(HuracanConfig().profiles)
    for name, profile in given.items():
        default = profiles.get(name)
        if default is not None and isinstance(profile, dict):
            profile = {"n_splits": default.n_splits, "learners": default.learners, **profile}
        profiles[name] = profile
    values["profiles"] = profiles


def _explain(error: ValidationError, places: Mapping[_Path, str]) -> str:
    """The first fault as one sentence, and how many more there are."""
    faults = error.errors(include_url=False)
    fault = faults[0]
    at = tuple(str(part) for part in fault["loc"])
    known = next((at[:depth] for depth in range(len(at), 0, -1) if at[:depth] in places), ())
    where = places.get(known, "")
    dotted = ".".join(key if key.isprintable() else repr(key)[1:-1] for key in at)
    if fault["type"] == "extra_forbidden":
        names = _keys_at(at[:-1])
        close = difflib.get_close_matches(at[-1], names, n=1, cutoff=0.5)
        hint = f"did you mean '{'.'.join((*at[:-1], close[0]))}'?" if close else f"known here: {', '.join(names)}."
        sentence = f"{where}unknown key '{dotted}'; {hint}"
    else:
        message = fault["msg"].removeprefix("Value error, ")
        if dotted:
            shown = "" if isinstance(fault["input"], Mapping) else f" is {fault['input']!r}"
            sentence = f"{where}'{dotted}'{shown}: {message[:1].lower()}{message[1:]}."
        else:  # a fault between keys: the sentence begins with the key it is about
            where = places.get(tuple(message.split()[0].split(".")), where)
            sentence = where + message + ("" if message.endswith("?") else ".")
    more = len(faults) - 1
    return sentence + (f" ({more} more fault{'s' if more > 1 else ''} in this configuration.)" if more else "")


def _keys_at(at: _Path) -> list[str]:
    """Names of the keys allowed in the section at ``at``."""
    section: Any = HuracanConfig
    for part in at:
        if isinstance(section, type) and issubclass(section, BaseModel) and part in section.model_fields:
            section = section.model_fields[part].annotation
        args = get_args(section)
        section = next((a for a in args if isinstance(a, type) and issubclass(a, BaseModel)), section)
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []
