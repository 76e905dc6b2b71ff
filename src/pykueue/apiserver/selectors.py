"""Label and field selectors in their text form, as they come in `labelSelector` and `fieldSelector`.

Each is parsed once into a predicate over raw objects. Neighbours: `reads.py` lists and watches with them, `deletes.py`
deletes collections.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from pykueue.api.errors import BadRequest
from pykueue.api.fields import LABEL_VALUE_TEXT
from pykueue.api.objects import Obj, labels, name, namespace
from pykueue.apiserver.resources import Resource, SelectableField

Predicate: TypeAlias = Callable[[Obj], bool]
_LabelTest: TypeAlias = Callable[[Mapping[str, str]], bool]

_KEY = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_COMPARE = re.compile(rf"({_KEY})\s*(==|=|!=|<|>)\s*([^,=!<>()\s]*)")


def parse_label_selector(text: str) -> Predicate | None:
    """Compile a label selector; None if it selects everything.

    Raises:
        BadRequest: the text is not a label selector.
    """
    tests = [_label_requirement(part, text) for part in _split_requirements(text)]
    if not tests:
        return None
    if len(tests) == 1:
        only = tests[0]
        return lambda obj: only(labels(obj))

    def matches(obj: Obj) -> bool:
        values = labels(obj)
        return all(test(values) for test in tests)

    return matches


def _split_requirements(text: str) -> list[str]:
    """Split at commas outside of parentheses."""
    parts = re.split(r",(?![^(]*\))", text)
    return [part.strip() for part in parts if part.strip()]


def _label_requirement(part: str, whole: str) -> _LabelTest:
    if found := _EXISTS.fullmatch(part):
        key = found[2]
        return (lambda values: key not in values) if found[1] else (lambda values: key in values)
    if found := _SET.fullmatch(part):
        key, wanted = found[1], frozenset(value.strip() for value in found[3].split(","))
        for value in wanted:
            _check_value(key, value)
        if found[2] == "in":
            return lambda values: values.get(key) in wanted
        return lambda values: values.get(key) not in wanted
    if found := _COMPARE.fullmatch(part):
        return _comparison(found[1], found[2], found[3])
    raise BadRequest(
        f"unable to parse requirement: {part!r} in label selector {whole!r}; use for example a=b, a!=b, a in (b,c), a, !a"
    )


def _comparison(key: str, operator: str, value: str) -> _LabelTest:
    if operator in "<>":
        if not re.fullmatch(r"-?\d+", value):
            raise BadRequest(
                f"unable to parse requirement: values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
            )
        bound, sign = int(value), 1 if operator == ">" else -1
        return lambda values: (
            bool(re.fullmatch(r"-?\d+", values.get(key, ""))) and (int(values[key]) - bound) * sign > 0
        )
    _check_value(key, value)
    if operator == "!=":
        return lambda values: values.get(key) != value
    return lambda values: values.get(key) == value


def _check_value(key: str, value: str) -> None:
    if len(value) > 63 or not _VALUE.fullmatch(value):
        raise BadRequest(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": {LABEL_VALUE_TEXT}')


_METADATA: Mapping[str, SelectableField] = {"metadata.name": name, "metadata.namespace": namespace}


def parse_field_selector(text: str, resource: Resource) -> Predicate | None:
    """Compile a field selector; None if it selects everything.

    Raises:
        BadRequest: the text is not a field selector, or names a field that is not selectable for this resource.
    """
    tests: list[Predicate] = []
    for part in re.split(r"(?<!\\),", text):
        if not part:
            continue
        found = re.fullmatch(r"([^=!]+?)(!=|==|=)(.*)", part, re.DOTALL)
        if not found:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{part}'")
        path, operator, value = found[1], found[2], re.sub(r"\\([\\,=])", r"\1", found[3])
        read = _METADATA.get(path) or resource.fields.get(path)
        if read is None:
            known = ", ".join(f'"{name}"' for name in (*_METADATA, *resource.fields))
            raise BadRequest(f'"{path}" is not a known field selector: only {known}')
        tests.append(_field_test(read, value, negate=operator == "!="))
    if not tests:
        return None
    return tests[0] if len(tests) == 1 else lambda obj: all(test(obj) for test in tests)


def _field_test(read: SelectableField, value: str, *, negate: bool) -> Predicate:
    return (lambda obj: read(obj) != value) if negate else (lambda obj: read(obj) == value)


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """The conjunction; None stands for everything."""
    if first is None or second is None:
        return first or second
    return lambda obj: first(obj) and second(obj)
