"""Components by name: one mechanism for every kind of them.

A registry knows the names of its kind and the modules behind them; a module is imported when its component is asked
for. There it registers itself, together with its settings:

    VISION_ENCODERS.add("clip", ClipEncoder, ClipSettings)

Other packages register in the same way: an entry point of the registry's group names the module that does.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pydantic
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from v2a_core.config import BROKEN, Choice, ConfigError, Settings, setting

ComponentT = TypeVar("ComponentT")
SettingsT = TypeVar("SettingsT", bound=Settings)

# Written as what it is, whatever the field was declared as.
_AS_IT_IS = core_schema.plain_serializer_function_ser_schema(
    lambda value, info: value.model_dump(mode=info.mode), info_arg=True
)


@dataclass(frozen=True)
class Entry(Generic[ComponentT]):
    """A component as it was registered.

    Attributes:
        name: Its name in configurations.
        component: The class, or whatever else the kind's protocol asks for.
        settings: Its own settings; None when it has none.
    """

    name: str
    component: ComponentT
    settings: type[Settings] | None = None


class Registry(Generic[ComponentT]):
    """The components of one kind.

    Args:
        kind: What one of them is called in messages, such as `vision encoder`.
        group: The group of entry points by which other packages add theirs, such as `v2a.vision_encoders`.
        modules: The module behind each name of this package.
    """

    def __init__(self, kind: str, group: str, modules: Mapping[str, str]) -> None:
        self.kind, self.group = kind, group
        self._modules = dict(modules)
        self._entries: dict[str, Entry[ComponentT]] = {}

    def add(self, name: str, component: ComponentT, settings: type[Settings] | None = None) -> None:
        """Register a component.

        Args:
            name: Its name in configurations.
            component: What the kind's protocol asks for.
            settings: Its own settings.

        Raises:
            ValueError: When the name is taken by another component.
        """
        taken = self._entries.get(name)
        if taken is not None and taken.component is not component:
            raise ValueError(f"the {self.kind} {name!r} is there already: {taken.component!r}; choose another name")
        self._entries[name] = Entry(name, component, settings)

    def names(self) -> tuple[str, ...]:
        """All names that can be asked for; imports none of the modules behind them."""
        return tuple(dict.fromkeys([*self._modules, *self._others(), *self._entries]))

    def __getitem__(self, name: str) -> Entry[ComponentT]:
        """The component of a name.

        Raises:
            ConfigError: For an unknown name, or one whose module cannot be imported; names what there is.
        """
        if name not in self._entries:
            self._import(name)
        if name not in self._entries:
            raise ConfigError(f"the module behind {self.kind} {name!r} registers no such name")
        return self._entries[name]

    def settings(self, name: str) -> type[Settings]:
        """The settings of a component.

        Raises:
            ConfigError: For an unknown name, or a component without settings.
        """
        found = self[name].settings
        if found is None:
            raise ConfigError(f"the {self.kind} {name!r} has no settings")
        return found

    def problems(self) -> dict[str, str]:
        """The names that cannot be asked for, such as those of packages that are broken, and why."""
        found = {}
        for name in self.names():
            try:
                self[name]
            except ConfigError as error:
                found[name] = str(error)
        return found

    def _import(self, name: str) -> None:
        if name in self._modules:
            importlib.import_module(self._modules[name])
            return
        others = self._others()
        if name not in others:
            raise ConfigError(f"no {self.kind} {name!r}; known: {', '.join(self.names())}")
        try:
            others[name].load()
        except Exception as error:  # a stranger's module may fail in any way
            told = f"{type(error).__name__}: {error}"
            raise ConfigError(f"the {self.kind} {name!r} ({others[name].value}) cannot be imported: {told}") from error

    def _others(self) -> Mapping[str, importlib.metadata.EntryPoint]:
        return _entry_points(self.group)


class OneOf(Choice):
    """A group of settings that belongs to one component of a registry, which it names under `key`.

    For `Annotated[Base, OneOf(REGISTRY, "default")]`, where `Base` is what the settings of all of them are. Without the
    key the default is meant, so that one of its settings can be given alone; a name by itself stands for the key alone.

    Args:
        registry: Whose settings.
        default: The name that is meant when none is given.
        key: The setting that holds the name.
    """

    def __init__(self, registry: Registry[Any], default: str, key: str = "kind") -> None:
        self._registry, self._default, self.key = registry, default, key

    def default(self) -> Settings:
        """The default component's settings."""
        return self._registry.settings(self._default)()

    def groups(self) -> list[type[Settings]]:
        """The settings of all components, the default's first; imports the modules behind them."""
        broken = self._registry.problems()
        others = [name for name in self._registry.names() if name != self._default and name not in broken]
        return [self._registry.settings(name) for name in (self._default, *others)]

    def problems(self) -> list[str]:
        """Of the components that cannot be imported."""
        return list(self._registry.problems().values())

    def type_name(self) -> str:
        """The names to choose from."""
        return " | ".join(self._registry.names())

    def __get_pydantic_core_schema__(
        self, source: Any, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """How pydantic reads and writes such a field."""
        return core_schema.no_info_plain_validator_function(self._read, serialization=_AS_IT_IS)

    def _read(self, value: Any) -> Settings:
        if isinstance(value, Settings):
            return value
        if isinstance(value, str):
            value = {self.key: value}
        if not isinstance(value, dict):
            raise ValueError(f"must be a group of settings, with one of {self.type_name()} as its {self.key}")
        name = value.get(self.key, self._default)
        if name not in self._registry.names():
            told = PydanticCustomError("unknown_name", "no {what}", {"what": f"such {self._registry.kind}"})
            problem = InitErrorDetails(type=told, loc=(self.key,), input=name)
            raise pydantic.ValidationError.from_exception_data(self._registry.kind, [problem])
        return self._registry.settings(name).model_validate(value)


class Groups(Settings):
    """Settings of which each component of a registry has a group of its own, made by `EachOf`."""

    def own(self, name: str, settings: type[SettingsT]) -> SettingsT:
        """The group of a component; its defaults where these settings were made without groups.

        Args:
            name: Of the component.
            settings: What the component was registered with.
        """
        found = getattr(self, name, None)
        return found if isinstance(found, settings) else settings()


class EachOf(Choice):
    """Settings of all components of a registry, a group each: `Annotated[Base, EachOf(REGISTRY, Base)]`.

    Args:
        registry: Whose components. One without settings has no group.
        base: What the settings hold beside the groups.
    """

    def __init__(self, registry: Registry[Any], base: type[Groups]) -> None:
        self._registry, self._base = registry, base

    def default(self) -> Settings:
        """All defaults."""
        return self._whole()

    def groups(self) -> list[type[Settings]]:
        """The one class that holds them all; imports the modules behind them."""
        return [self._whole]

    def problems(self) -> list[str]:
        """Of the components that cannot be imported."""
        return list(self._registry.problems().values())

    def type_name(self) -> str:
        """The names of the groups."""
        return " | ".join(self._registry.names())

    def __get_pydantic_core_schema__(
        self, source: Any, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """How pydantic reads and writes such a field."""
        return core_schema.no_info_plain_validator_function(self._read, serialization=_AS_IT_IS)

    @functools.cached_property
    def _whole(self) -> type[Groups]:
        broken = self._registry.problems()
        entries = [self._registry[name] for name in self._registry.names() if name not in broken]
        taken = [entry.name for entry in entries if entry.settings and entry.name in self._base.model_fields]
        if taken:
            raise ConfigError(f"a {self._registry.kind} cannot be called {taken[0]!r}: all of them have such a setting")
        groups: dict[str, Any] = {
            entry.name: (entry.settings, setting(entry.settings, f"of the {self._registry.kind}"))
            for entry in entries
            if entry.settings
        }
        return pydantic.create_model(self._base.__name__, __base__=self._base, **groups)

    def _read(self, value: Any) -> Settings:
        settings = value if isinstance(value, self._base) else self._whole.model_validate(value)
        broken = self.problems()
        if broken:  # all of them are used, so none may be missing without a word
            raise PydanticCustomError(BROKEN, "{told}", {"told": "\n".join(broken)})
        return settings


class NameOf(Choice):
    """The name of a component of a registry, for `Annotated[str, NameOf(REGISTRY, "default")]`.

    Args:
        registry: Whose names.
        default: The name that is meant when none is given.
        also: Values beside the names, such as `off`.
    """

    def __init__(self, registry: Registry[Any], default: str, also: Sequence[str] = ()) -> None:
        self._registry, self._default, self._also = registry, default, tuple(also)

    def default(self) -> str:
        """The default name."""
        return self._default

    def groups(self) -> list[type[Settings]]:
        """None: it is a name."""
        return []

    def type_name(self) -> str:
        """The names to choose from."""
        return " | ".join(self._names())

    def __get_pydantic_core_schema__(
        self, source: Any, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """How pydantic reads such a field."""
        return core_schema.no_info_after_validator_function(self._read, handler(source))

    def _names(self) -> tuple[str, ...]:
        return (*self._also, *self._registry.names())

    def _read(self, name: str) -> str:
        if name not in self._names():
            raise ValueError(f"no such {self._registry.kind}")
        return name


@functools.cache
def _entry_points(group: str) -> Mapping[str, importlib.metadata.EntryPoint]:
    return {found.name: found for found in importlib.metadata.entry_points(group=group)}
