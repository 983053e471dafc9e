"""Strict typed configuration: defaults in the component's class, then a YAML file, then `--set key=value`.

A component owns its configuration: a subclass of `Settings` beside the code that uses it, each field made with
`setting(...)`, which records what `--help` prints: meaning, unit, bounds. Everything is checked before anything
heavy loads, and a mistake is answered with the key, the value, what is allowed and the nearest known key.
"""

from __future__ import annotations

import abc
import copy
import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pydantic
import yaml

# Inside of the package in an installed wheel; beside it in a checkout and in what Ray makes of one.
_PACKAGED = Path(__file__).resolve().parent / "configs"
CONFIG_ROOT = _PACKAGED if _PACKAGED.is_dir() else _PACKAGED.parents[1] / "configs"


class ConfigError(ValueError):
    """A wrong configuration; the message is for the person who wrote it."""


class Settings(pydantic.BaseModel):
    """Base of every configuration: no unknown keys, no silent conversion, immutable."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)


class Choice(abc.ABC):
    """What a field can hold, when that is not known from its type: `Annotated[Settings, Choice]`."""

    key = "kind"

    @abc.abstractmethod
    def default(self) -> object:
        """What the field holds when nothing is said."""

    @abc.abstractmethod
    def groups(self) -> list[type[Settings]]:
        """The groups of settings among which the field's `key` chooses, the default first; none for a plain value."""

    def problems(self) -> list[str]:
        """Why some of what could be chosen cannot be, a sentence each; `groups` leaves that out."""
        return []

    @abc.abstractmethod
    def type_name(self) -> str:
        """What `--help` calls the type of a plain value."""


def setting(default: Any, meaning: str, *, unit: str = "", flag: str = "", **bounds: Any) -> Any:
    """A configuration field.

    Args:
        default: The default value, a `Settings` class for a nested group, or a `Choice` for its own default.
        meaning: One line for `--help`.
        unit: Unit of the value, for `--help`.
        flag: A command-line option that is short for `--set key=value`, such as `--max-reject-share`.
        **bounds: Pydantic's constraints: gt, ge, lt, le, min_length, pattern, ...
    """
    extra: dict[str, pydantic.JsonValue] = {"unit": unit, "flag": flag}
    if isinstance(default, type) and issubclass(default, Settings):
        return pydantic.Field(default_factory=default, description=meaning, json_schema_extra=extra, **bounds)
    if isinstance(default, Choice):
        return pydantic.Field(default_factory=default.default, description=meaning, json_schema_extra=extra, **bounds)
    return pydantic.Field(default, description=meaning, json_schema_extra=extra, **bounds)


@dataclass(frozen=True)
class Option:
    """One leaf of a configuration, as `--help` shows it.

    Attributes:
        key: Dotted.
        type, default, meaning, unit, flag: As `setting` was given them.
        of: The choice that it belongs to, such as `shape.kind = square`.
    """

    key: str
    type: str
    default: object
    meaning: str
    unit: str
    flag: str
    of: str = ""

    @property
    def default_text(self) -> str:
        """The default as people write it, with its unit."""
        if self.default is None:
            return "none"
        if isinstance(self.default, bool) or self.default == "":
            return json.dumps(self.default)
        return f"{self.default} {self.unit}".rstrip()


_MAX_VALUES = 100_000
BROKEN: Final = "broken_component"  # pydantic's type of a problem that `Choice.problems` tells

SettingsT = TypeVar("SettingsT", bound=Settings)


def load(settings: type[SettingsT], *, job: str, source: str | None = None, overrides: Sequence[str] = ()) -> SettingsT:
    """Build a configuration from its defaults, a YAML file and overrides.

    Args:
        settings: The typed configuration of the job.
        job: The job's name; `source` may name a file of `configs/<job>/`.
        source: A YAML file, or the name of a shipped one (`fast` for `configs/generate/fast.yaml`).
        overrides: `key=value` strings with dotted keys; values are read as YAML.

    Raises:
        ConfigError: Naming key, value, what is allowed and the nearest known key.
    """
    return build(settings, read_yaml(find(source, job)) if source else {}, overrides)


def build(settings: type[SettingsT], values: Mapping[str, object], overrides: Sequence[str] = ()) -> SettingsT:
    """A configuration from plain values and `key=value` overrides.

    Raises:
        ConfigError: Naming key, value, what is allowed and the nearest known key.
    """
    changed = copy.deepcopy(dict(values))
    for override in overrides:
        _set(changed, override)
    try:
        return settings.model_validate(changed)
    except pydantic.ValidationError as error:
        raise ConfigError(_explain(settings, error)) from None


def find(source: str, job: str) -> Path:
    """The file behind `--config` or `--models`: a path, or the name of a shipped configuration."""
    path = Path(source)
    if path.is_file():
        return path
    shipped = CONFIG_ROOT / job / f"{source}.yaml"
    if shipped.is_file():
        return shipped
    known = ", ".join(sorted(file.stem for file in (CONFIG_ROOT / job).glob("*.yaml"))) or "none"
    raise ConfigError(f"no configuration {source!r}: give a YAML file, or one of the shipped names: {known}")


def read_yaml(path: Path) -> dict[str, object]:
    """A YAML mapping; `1e-4` is a number, as people expect."""
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of keys to values, not {type(values).__name__}")
    if not _is_bounded(values):
        raise ConfigError(f"{path} holds more than {_MAX_VALUES:,} values, with its aliases written out")
    return values


def _is_bounded(values: object) -> bool:
    """Whether plain values are few: nine aliases of nine aliases of ... are billions in a kilobyte."""
    left, count = [values], 0
    while left and count <= _MAX_VALUES:
        value, count = left.pop(), count + 1
        if isinstance(value, (dict, list)):
            left += value.values() if isinstance(value, dict) else value
    return not left


def options(settings: type[Settings], prefix: str = "") -> Iterator[Option]:
    """Every leaf of a configuration: its own fields first, in their order, then those it has from others."""
    classes = [base for base in settings.__mro__ if issubclass(base, Settings)]
    for name in dict.fromkeys(name for base in classes for name in base.__annotations__ if name in base.model_fields):
        field = settings.model_fields[name]
        key = f"{prefix}{name}"
        choice = next((item for item in field.metadata if isinstance(item, Choice)), None)
        groups = choice.groups() if choice else _groups(field.annotation)
        if groups:
            yield from _options_of(groups, key, choice)
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        yield Option(
            key=key,
            type=choice.type_name() if choice else _type_name(field.annotation),
            default=None if field.is_required() else field.get_default(call_default_factory=True),
            meaning=field.description or "",
            unit=str(extra.get("unit", "")),
            flag=str(extra.get("flag", "")),
        )


def _options_of(groups: Sequence[type[Settings]], key: str, choice: Choice | None) -> Iterator[Option]:
    told = False
    for group in groups:
        for option in options(group, f"{key}."):
            if choice is None or len(groups) == 1:
                yield option
            elif option.key == f"{key}.{choice.key}":
                if not told:  # once, not for each of the groups; the first is the default's
                    yield dataclasses.replace(option, type=choice.type_name())
                told = True
            else:
                name = group.model_fields[choice.key].default
                of = f"{key}.{choice.key} = {name}"
                yield dataclasses.replace(option, meaning=f"{name}: {option.meaning}", of=of)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of a float: YAML 1.1, which PyYAML reads, takes 1e-4 for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def _set(values: dict[str, object], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r} is not of the form key=value")
    *groups, leaf = key.strip().split(".")
    node = values
    for group in groups:
        child = node.setdefault(group, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {override!r}: {group!r} is a value, not a group of settings")
        node = child
    try:
        node[leaf] = yaml.load(text, Loader=_Loader) if text else ""  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError:
        node[leaf] = text  # a value such as `*.mp4` or `@x` is text, not broken YAML


def _groups(annotation: object) -> list[type[Settings]]:
    """The `Settings` classes an annotation can hold (a nested group, or a choice between several)."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [group for arg in typing.get_args(annotation) for group in _groups(arg)]
    if typing.get_origin(annotation) is typing.Annotated:
        return _groups(typing.get_args(annotation)[0])
    return []


def _type_name(annotation: object) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " | ".join(str(arg) for arg in args)
    if origin in (typing.Union, types.UnionType):
        return " | ".join("none" if arg is type(None) else _type_name(arg) for arg in args)
    if origin is typing.Annotated:
        return _type_name(args[0])
    if origin is not None:
        return str(annotation).replace("typing.", "")
    return getattr(annotation, "__name__", str(annotation))


def _explain(settings: type[Settings], error: pydantic.ValidationError) -> str:
    known = {option.key: option for option in options(settings)}
    lines = []
    for problem in error.errors():
        if problem["type"] == BROKEN:  # told below
            continue
        key = _key(problem["loc"], known)
        if problem["type"] == "extra_forbidden" and key in known and known[key].of:
            of = " or ".join(option.of for option in options(settings) if option.key == key)
            lines.append(f"unknown key {key!r} (value {problem['input']!r}); it is a setting of {of}")
            continue
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            near = near or [name for name in known if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]][:1]
            hint = f"; did you mean {near[0]!r}?" if near else "; see --help for the known keys"
            lines.append(f"unknown key {key!r} (value {problem['input']!r}){hint}")
            continue
        option = known.get(key)
        allowed = f"; allowed: {option.type}{' ' + option.unit if option and option.unit else ''}" if option else ""
        said = f"{_sentence(problem['msg'])}{allowed}"
        lines.append(f"{key} = {problem['input']!r}: {said}" if key else said)
    return "\n".join([*lines, *problems(settings)])


def problems(settings: type[Settings]) -> list[str]:
    """Of all choices of a configuration, a sentence for each component that cannot be imported."""
    found: list[str] = []
    for field in settings.model_fields.values():
        choice = next((item for item in field.metadata if isinstance(item, Choice)), None)
        found += choice.problems() if choice else []
        for group in choice.groups() if choice else _groups(field.annotation):
            found += problems(group)
    return list(dict.fromkeys(found))


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ").strip()


def _key(location: tuple[int | str, ...], known: dict[str, Option]) -> str:
    """The dotted key of a problem: pydantic puts the name of a union's chosen member between the keys."""
    key = ""
    for position, part in enumerate(location):
        longer = f"{key}.{part}" if key else str(part)
        is_last = position == len(location) - 1
        if is_last or any(name == longer or name.startswith(f"{longer}.") for name in known):
            key = longer
    return key
