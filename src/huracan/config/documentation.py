"""The configuration explained: the parameter table, and the commented YAML file, both made from the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from huracan.config.schema import HuracanConfig

__all__ = ["commented_yaml", "parameter_table"]


def parameter_table() -> str:
    """Markdown table of every key: type, default, bounds, meaning."""
    schema = HuracanConfig.model_json_schema()
    lines = ["| key | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    for key, field in _fields(HuracanConfig, ""):
        kind, bounds = _describe(_property(schema, key))
        default = field.get_default(call_default_factory=True)
        shown = "" if key.startswith("profiles") else f"`{_scalar(default)}`"
        lines.append(f"| `{key}` | {kind} | {shown} | {bounds} | {field.description or ''} |")
    return "\n".join(lines) + "\n"


def commented_yaml(config: HuracanConfig | None = None) -> str:
    """A complete configuration file in which every key carries its meaning as a comment."""
    values = (config or HuracanConfig()).model_dump(mode="json")
    lines = [
        "# Huracan's configuration, complete with defaults. Every key may be left out.",
        "# `huracan config validate` checks a file, `huracan config schema` explains the keys.",
        "# HURACAN_HOME sets `home`; HURACAN__LABELS__HORIZON=4 sets `labels.horizon`.",
    ]
    for name, field in HuracanConfig.model_fields.items():
        value = values[name]
        if name == "profiles":
            lines += ["", f"# {field.description}", *_profiles(value)]
        elif isinstance(value, dict):
            section = field.annotation
            assert isinstance(section, type)
            lines += ["", f"# {(section.__doc__ or '').strip()}", f"{name}:", *_section(section, value, "  ")]
        else:
            lines += [f"# {field.description}", f"{name}: {_scalar(value)}"]
    return "\n".join(lines) + "\n"


def _section(section: type[BaseModel], values: dict[str, Any], indent: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        value = values[name]
        yield f"{indent}# {field.description}"
        if isinstance(value, dict) and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{indent}{name}:"
            yield from _section(field.annotation, value, indent + "  ")
        else:
            yield f"{indent}{name}: {_scalar(value)}"


def _profiles(profiles: dict[str, Any]) -> Iterator[str]:
    yield "profiles:"
    for name, profile in profiles.items():
        yield f"  {name}:"
        yield f"    n_splits: {profile['n_splits']}"
        yield "    learners:"
        for learner, settings in profile["learners"].items():
            kept = {k: v for k, v in settings.items() if v not in (None, {}, "auto")}
            yield f"      {learner}: {_scalar(kept)}"


def _scalar(value: Any) -> str:
    """One value in YAML's flow style."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, tuple):
        value = list(value)
    if value is not None and not isinstance(value, str | int | float | bool | list | dict):
        value = str(value)
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")


def _fields(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        elif name == "profiles":
            profile = HuracanConfig().active_profile
            yield from ((f"profiles.<name>.{n}", f) for n, f in type(profile).model_fields.items() if n != "learners")
            learner = next(iter(profile.learners.values()))
            yield from ((f"profiles.<name>.learners.<learner>.{n}", f) for n, f in type(learner).model_fields.items())
        else:
            yield f"{prefix}{name}", field


def _property(schema: dict[str, Any], key: str) -> dict[str, Any]:
    definitions = schema["$defs"]
    part: dict[str, Any] = schema
    for name in key.split("."):
        part = part["additionalProperties"] if name.startswith("<") else part["properties"][name]
        reference = part.get("$ref") or (part.get("additionalProperties", {}) and None)
        if reference:
            part = definitions[reference.rsplit("/", 1)[1]]
    return part


def _describe(part: dict[str, Any]) -> tuple[str, str]:
    """Type and bounds of a JSON-schema property, in words."""
    options = part.get("anyOf", [part])
    kinds, bounds = [], []
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    for option in options:
        if "enum" in option:
            kinds.append(" or ".join(f"`{v}`" for v in option["enum"]))
        elif option.get("type") == "null":
            kinds.append("none")
        else:
            kinds.append(
                {"string": option.get("format", "text"), "object": "mapping", "array": "list"}.get(
                    option.get("type", ""), option.get("type", "any")
                )
            )
        bounds += [f"{sign} {option[word]:g}" for word, sign in signs.items() if word in option]
    return " or ".join(kinds), ", ".join(bounds)
