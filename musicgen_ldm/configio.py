"""YAML files and command-line overrides <-> frozen configuration dataclasses.

Schema in Python, values in YAML. Values are read by the *declared* type, because PyYAML alone
reads `1e-4` as a string; a key that the schema lacks is an error that names the known ones.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

import yaml

from musicgen_ldm.errors import ConfigError

Config = TypeVar("Config")

INCLUDE = "include"
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Settings:
    """Nested values with the place each was written.

    Attributes:
        values: Nested mappings of plain YAML values.
        origins: Dotted key -> "file:line" or "command line".
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def where(self, key: str) -> str:
        """Place of a dotted key, or of its nearest written parent."""
        while key and key not in self.origins:
            key = key.rpartition(".")[0]
        return self.origins.get(key, "default")

    def merged(self, over: "Settings") -> "Settings":
        """These settings with those of `over` on top, mapping by mapping."""
        return Settings(_merge(self.values, over.values), self.origins | over.origins)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both_nested = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(cast(dict[str, Any], old), value) if both_nested else value
    return merged


def read_settings(path: str | Path) -> Settings:
    """Settings of a YAML file; `include: other.yaml` puts it on top of another, one level deep.

    Raises:
        ConfigError: If a file is missing, not YAML, not a mapping, or includes twice.
    """
    path = Path(path)
    settings = _read_one(path)
    base = settings.values.pop(INCLUDE, None)
    if base is None:
        return settings
    included = _read_one(path.parent / base)
    if INCLUDE in included.values:
        raise ConfigError(
            f"{included.where(INCLUDE)}: an included file may not include another one; "
            f"write its values into {path.parent / base}"
        )
    return included.merged(settings)


def _read_one(path: Path) -> Settings:
    if not path.is_file():
        raise ConfigError(f"{path}: no such configuration file; configs/ holds the shipped ones")
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is None:
            return Settings()
        values = loader.construct_document(node)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is not written in UTF-8 ({error.reason}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values")
    return Settings(values, dict(_origins(node, path, prefix="")))


def _origins(node: yaml.Node, path: Path, prefix: str) -> Iterable[tuple[str, str]]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value_node in node.value:
        key = f"{prefix}{key_node.value}"
        yield key, f"{path}:{key_node.start_mark.line + 1}"
        yield from _origins(value_node, path, prefix=f"{key}.")


def parse_overrides(assignments: Iterable[str]) -> Settings:
    """Settings from `dotted.key=value` words; the value is YAML.

    Raises:
        ConfigError: If a word has no "=" or its value is not YAML.
    """
    settings = Settings()
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not (key and equals):
            raise ConfigError(
                f"{assignment!r}: an override is written key=value, e.g. optim.lr=3e-5"
            )
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{assignment!r}: the value is not valid YAML") from error
        origins = {key: f"{COMMAND_LINE} ({assignment})"}
        for name in reversed(key.split(".")):
            value = {name: value}
        settings = settings.merged(Settings(cast(dict[str, Any], value), origins))
    return settings


def build(
    config_class: type[Config], settings: Settings, defaults: Mapping[str, Any] | None = None
) -> Config:
    """A configuration object from settings.

    Args:
        config_class: Dataclass; nested dataclasses are built from nested mappings.
        settings: What was written.
        defaults: Values of top-level fields that replace the schema's own defaults.

    Raises:
        ConfigError: At an unknown key, a value of the wrong type or outside its range.
    """
    return cast(
        Config, _build_dataclass(config_class, settings.values, dict(defaults or {}), "", settings)
    )


def load_config(
    config_class: type[Config], path: str | Path, overrides: Iterable[str] = ()
) -> Config:
    """`read_settings`, `parse_overrides` and `build` in one."""
    return build(config_class, read_settings(path).merged(parse_overrides(overrides)))


def _build_dataclass(
    config_class: Any, values: Any, base: dict[str, Any], key: str, settings: Settings
) -> Any:
    if not isinstance(values, dict):
        raise _wrong(settings, key, values, "a mapping of keys to values")
    hints = typing.get_type_hints(config_class)
    fields = {f.name: f for f in dataclasses.fields(config_class) if f.init}
    prefix = f"{key}." if key else ""
    for name in values:
        if name not in fields:
            raise ConfigError(
                f"{settings.where(f'{prefix}{name}')}: {prefix}{name} is not a field of "
                f"{config_class.__name__}; known: {', '.join(fields)}"
            )
    arguments = dict(base)
    for name, value in values.items():
        default = arguments.get(name, _default(fields[name]))
        arguments[name] = _convert(hints[name], value, default, f"{prefix}{name}", settings)
    missing = [n for n, f in fields.items() if n not in arguments and _default(f) is MISSING]
    if missing:
        raise ConfigError(f"{_place(settings, key)}: {prefix}{missing[0]} must be given")
    try:
        return config_class(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{_place(settings, key)}: {error}") from error


def _place(settings: Settings, key: str) -> str:
    if key:
        return settings.where(key)
    files = {origin.rpartition(":")[0] or origin for origin in settings.origins.values()}
    return ", ".join(sorted(files)) or "configuration"


def _default(spec: "dataclasses.Field[Any]") -> Any:
    if spec.default_factory is not MISSING:
        return spec.default_factory()
    return spec.default


def _convert(hint: Any, value: Any, default: Any, key: str, settings: Settings) -> Any:
    """`value` as the declared type `hint`; `default` fills what a nested mapping leaves out."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_optional(hint, value, default, key, settings)
    if is_dataclass(hint):
        known = default if isinstance(default, cast(type, hint)) else None
        base = {f.name: getattr(known, f.name) for f in dataclasses.fields(hint)} if known else {}
        return _build_dataclass(hint, value, base, key, settings)
    if origin is Literal:
        if value not in get_args(hint):
            raise _wrong(settings, key, value, "one of " + ", ".join(map(str, get_args(hint))))
        return value
    if origin is tuple:
        return _convert_tuple(hint, value, key, settings)
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(settings, key, value, "a mapping")
        item = get_args(hint)[1]
        return {k: _convert(item, v, None, f"{key}.{k}", settings) for k, v in value.items()}
    return _convert_scalar(hint, value, key, settings)


def _convert_optional(hint: Any, value: Any, default: Any, key: str, settings: Settings) -> Any:
    if value is None:
        if type(None) in get_args(hint):
            return None
        raise _wrong(settings, key, value, "a value")
    (inner,) = (option for option in get_args(hint) if option is not type(None))
    return _convert(inner, value, default, key, settings)


def _convert_tuple(hint: Any, value: Any, key: str, settings: Settings) -> tuple[Any, ...]:
    items = get_args(hint)
    if not isinstance(value, list):
        raise _wrong(settings, key, value, "a list, e.g. [1, 2]")
    if items[-1] is Ellipsis:
        items = (items[0],) * len(value)
    elif len(items) != len(value):
        raise _wrong(settings, key, value, f"a list of {len(items)} values")
    return tuple(
        _convert(item, v, None, key, settings) for item, v in zip(items, value, strict=True)
    )


def _convert_scalar(hint: Any, value: Any, key: str, settings: Settings) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float:
        try:
            number = float(value) if is_number or isinstance(value, str) else math.nan
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise _wrong(settings, key, value, "a number")
        return number
    if hint is int and is_number and float(value).is_integer():
        return int(value)
    if hint is bool and isinstance(value, bool):
        return value
    if hint is str and not isinstance(value, dict | list | None):
        return str(value)
    name = {int: "a whole number", bool: "true or false", str: "text"}[hint]
    raise _wrong(settings, key, value, name)


def _wrong(settings: Settings, key: str, value: Any, allowed: str) -> ConfigError:
    return ConfigError(f"{settings.where(key)}: {key}={value!r} must be {allowed}")


def to_plain(config: Any) -> Any:
    """Nested dicts, lists and scalars of a configuration object, ready for YAML or JSON."""
    if is_dataclass(config):
        return {f.name: to_plain(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, dict):
        return {key: to_plain(value) for key, value in config.items()}
    if isinstance(config, tuple | list):
        return [to_plain(item) for item in config]
    return config


def dump_yaml(config: Any) -> str:
    """YAML text that `build` reads back to an equal object."""
    return yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True)
