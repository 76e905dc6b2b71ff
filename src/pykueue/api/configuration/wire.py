"""Between YAML text, raw mappings and the structs of `types.py`: strict, and with every fault at once.

Reading knows nothing of versions or defaults. It checks that each field exists in the struct, occurs once and has the right
type; field names are case-sensitive. `null` stands for an absent field. Durations are strings on the wire, except for
`controller.cacheSyncTimeout`, which is an integer of nanoseconds (spec: config.md §1).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
import yaml

from pykueue.api.configuration.durations import format_duration, parse_duration
from pykueue.api.configuration.types import QuantityText
from pykueue.api.quantity import parse_quantity

S = TypeVar("S", bound=msgspec.Struct)
_NANOSECONDS = "cache_sync_timeout_us"
_EMPTY: tuple[Any, ...] = ("", (), {})
_NAMES: Mapping[type, str] = {str: "a string", bool: "true or false", int: "an integer", float: "a number"}


def read_yaml(text: str) -> tuple[dict[str, Any], list[str]]:
    """The document as a mapping, and its faults: bad syntax, duplicate fields, not a mapping."""
    try:
        loader = _Loader(text)
        document = loader.get_single_data()
    except yaml.YAMLError as error:
        return {}, [f"cannot be read as YAML: {' '.join(str(error).split())}"]
    if document is None:
        document = {}
    if not isinstance(document, dict):
        return {}, ["must be a mapping with apiVersion and kind"]
    return document, loader.duplicates


def read_struct(cls: type[S], raw: Mapping[str, Any], path: str, faults: list[str]) -> S:
    """Decode a mapping; faults are appended, and a field with a fault keeps its default."""
    fields = _fields(cls)
    values: dict[str, Any] = {}
    for name, value in raw.items():
        here = f"{path}.{name}" if path else str(name)
        if name not in fields:
            faults.append(f'unknown field "{here}"')
        elif value is not None:
            field, hint = fields[name]
            try:
                values[field] = _read_time(field, value) if field.endswith("_us") else _read(hint, value, here, faults)
            except _WrongTypeError as error:
                faults.append(f"{here}: must be {error}, not {_describe(value)}")
            except ValueError as error:
                faults.append(f"{here}: {error}")
    return cls(**values)


def write_struct(value: msgspec.Struct) -> dict[str, Any]:
    """The wire form of a struct; None is left out, and what is empty unless its default is not."""
    result: dict[str, Any] = {}
    says_by_being_empty = _filled_by_default(type(value))
    for name, (field, _) in _fields(type(value)).items():
        content = getattr(value, field)
        if content is not None and field.endswith("_us"):
            content = content * 1000 if field == _NANOSECONDS else format_duration(content)
        if content is not None and (content not in _EMPTY or field in says_by_being_empty):
            result[name] = _write(content)
    return result


class _Loader(yaml.SafeLoader):
    """YAML into JSON's types, noting duplicate keys; text that looks like a date stays text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicates: list[str] = []
        self._path: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: ARG002 - the base class has it
        """Like the base class, at once and with the path of each field at hand."""
        self.flatten_mapping(node)
        result: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "found a key that is not text", key_node.start_mark)
            self._path.append(str(key))
            if key in result:
                self.duplicates.append(f'duplicate field "{".".join(self._path)}"')
            result[key] = self.construct_object(value_node, deep=True)
            self._path.pop()
        return result


def _construct_map(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    assert isinstance(loader, _Loader)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node)


def _construct_text(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _construct_text)


class _WrongTypeError(ValueError):
    """Says what it should have been."""


@cache
def _fields(cls: type[msgspec.Struct]) -> Mapping[str, tuple[str, Any]]:
    """Wire name to field and type."""
    hints = typing.get_type_hints(cls)
    return {
        field.encode_name.removesuffix("Us"): (field.name, hints[field.name]) for field in msgspec.structs.fields(cls)
    }


@cache
def _filled_by_default(cls: type[msgspec.Struct]) -> frozenset[str]:
    """Fields whose default is not empty."""
    defaults = {
        field.name: field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        for field in msgspec.structs.fields(cls)
    }
    return frozenset(name for name, default in defaults.items() if default is not None and default not in _EMPTY)


def _read_time(field: str, value: Any) -> int:
    if field == _NANOSECONDS:
        if not _is(int, value):
            raise _WrongTypeError("an integer of nanoseconds")
        return int(value) // 1000
    if not isinstance(value, str):
        raise _WrongTypeError('a duration like "5m"')
    return parse_duration(value)


def _read(hint: Any, value: Any, path: str, faults: list[str]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _read(next(a for a in arguments if a is not types.NoneType), value, path, faults)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if not isinstance(value, dict):
            raise _WrongTypeError("a mapping")
        return read_struct(hint, value, path, faults)
    if hint is QuantityText:
        return _read_quantity(value)
    if origin is tuple:
        if not isinstance(value, list):
            raise _WrongTypeError("a list")
        return tuple(_member(arguments[0], item, f"{path}[{i}]", faults) for i, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _WrongTypeError("a mapping")
        if arguments[1] is Any:
            return value
        return {str(k): _member(arguments[1], item, f"{path}[{k}]", faults) for k, item in value.items()}
    if not _is(hint, value):
        raise _WrongTypeError(_NAMES[hint])
    return float(value) if hint is float else value


def _read_quantity(value: Any) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise _WrongTypeError("a quantity")
    try:
        return str(parse_quantity(value))
    except ValueError as error:
        raise _WrongTypeError("a quantity like 100m, 4 or 16Gi") from error


def _member(hint: Any, value: Any, path: str, faults: list[str]) -> Any:
    """A member of a list or map; a wrong one is reported and left out of nothing, for the whole is refused."""
    try:
        return _read(hint, value, path, faults)
    except _WrongTypeError as error:
        faults.append(f"{path}: must be {error}, not {_describe(value)}")
        return value


def _is(hint: type, value: Any) -> bool:
    match value:
        case bool():
            return hint is bool
        case int():
            return hint in (int, float)
        case _:
            return isinstance(value, hint)


def _describe(value: Any) -> str:
    describe: Mapping[type, Callable[[Any], str]] = {
        dict: lambda _: "a mapping",
        list: lambda _: "a list",
        str: lambda v: f'"{v}"',
        bool: lambda v: str(v).lower(),
    }
    return describe.get(type(value), str)(value)


def _write(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            return write_struct(value)
        case tuple() | list():
            return [_write(item) for item in value]
        case Mapping():
            return {k: _write(item) for k, item in value.items()}
        case float():
            return int(value) if value.is_integer() else value
        case _:
            return value
