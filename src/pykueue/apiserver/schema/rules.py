"""`x-kubernetes-validations`: the CEL rules of a schema, compiled once and run along an object and its old value.

A rule sees the value of its node as `self` and, if it names it, the old value as `oldSelf`; such a *transition rule* runs only
where there is an old value (always, with an optional `oldSelf`, under `optionalOldSelf`). Items of `map` lists find their old
values by their keys; items of other lists have none. Rules that are no transition rules are not run where the value did not
change (ratcheting), and whole subtrees without transition rules are not entered if they are the old ones.

Source: Kubernetes documentation, "Custom Resource Definition": "Validation rules"; texts as a real server answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pykueue.api.errors import FieldError
from pykueue.api.fields import forbidden, invalid, render, required
from pykueue.apiserver.cel import CelError, Program, compile_expression
from pykueue.apiserver.cel.values import Optional
from pykueue.apiserver.schema.paths import ABSENT, Key, Path
from pykueue.apiserver.schema.paths import render as render_path
from pykueue.apiserver.schema.ratchet import correlate
from pykueue.apiserver.schema.types import Rule, Schema

RuleRunner: TypeAlias = Callable[[Any, Any, Path, list[FieldError]], None]
"""`(value, old value or ABSENT, path, errors so far)`."""

_FIELD_STEP = re.compile(r"\.([A-Za-z_][\w\-]*)|\['((?:[^'\\]|\\.)*)'\]|\[(\d+)\]")


def compile_rules(schema: Schema) -> RuleRunner | None:
    """A function that runs all rules of a schema; None if it has none.

    Raises:
        CelError: a rule cannot be compiled.
    """
    found = _compile(schema)
    return found.run if found is not None else None


def compile_rule(rule: Rule, schema: Schema) -> tuple[Program, Program | None]:
    """The programs of one rule: itself and its message expression.

    Raises:
        CelError: one of them cannot be compiled.
    """
    variables = {"self": schema, "oldSelf": None if rule.optional_old_self else schema}
    program = compile_expression(rule.rule, variables)
    return program, compile_expression(rule.message_expression, variables) if rule.message_expression else None


@dataclass(frozen=True, slots=True)
class _Compiled:
    run: RuleRunner
    has_transitions: bool


def _compile(schema: Schema) -> _Compiled | None:
    own = [_one(rule, schema) for rule in schema.validations]
    below = _below(schema)
    if not own and below is None:
        return None
    plain = [run for run, is_transition in own if not is_transition]
    transitions = [run for run, is_transition in own if is_transition]
    has_transitions = bool(transitions) or (below is not None and below.has_transitions)
    enter = below.run if below is not None else None

    def run(value: Any, old: Any, path: Path, errors: list[FieldError]) -> None:
        if value is None or (value is old and not has_transitions):
            return
        if plain and value is not old and (old is ABSENT or value != old):
            for check in plain:
                check(value, old, path, errors)
        for check in transitions:
            check(value, old, path, errors)
        if enter is not None:
            enter(value, old, path, errors)

    return _Compiled(run, has_transitions)


def _below(schema: Schema) -> _Compiled | None:
    """The rules of items, or of fields and values."""
    if schema.items is not None:
        of_item = _compile(schema.items)
        return None if of_item is None else _Compiled(_items_runner(schema, of_item.run), of_item.has_transitions)
    fields = {key: made for key, child in schema.properties.items() if (made := _compile(child)) is not None}
    values = schema.additional_properties
    of_value = _compile(values) if isinstance(values, Schema) else None
    if not fields and of_value is None:
        return None
    runners = tuple((key, made.run) for key, made in fields.items())

    def run(value: Any, old: Any, path: Path, errors: list[FieldError]) -> None:
        if not isinstance(value, Mapping):
            return
        before: Mapping[str, Any] = old if isinstance(old, Mapping) else {}
        for key, of_field in runners:
            if key in value:
                of_field(value[key], before.get(key, ABSENT), (path, key), errors)
        if of_value is not None:
            for key, child in value.items():
                of_value.run(child, before.get(key, ABSENT), (path, Key(key)), errors)

    has_transitions = any(made.has_transitions for made in fields.values())
    return _Compiled(run, has_transitions or (of_value is not None and of_value.has_transitions))


def _items_runner(schema: Schema, of_item: RuleRunner) -> RuleRunner:
    def run(value: Any, old: Any, path: Path, errors: list[FieldError]) -> None:
        if not isinstance(value, list):
            return
        for idx, (item, before) in enumerate(zip(value, correlate(schema, value, old), strict=True)):
            of_item(item, before, (path, idx), errors)

    return run


def _one(rule: Rule, schema: Schema) -> tuple[RuleRunner, bool]:
    """One rule's runner, and whether it compares with the old value."""
    program, message_program = compile_rule(rule, schema)
    is_transition = "oldSelf" in program.names
    text = rule.rule.strip()
    steps = _field_path(rule.field_path)

    def run(value: Any, old: Any, path: Path, errors: list[FieldError]) -> None:
        before = old
        if rule.optional_old_self:
            before = Optional() if old is ABSENT else Optional(old, is_present=True)
        elif is_transition and old is ABSENT:
            return
        try:
            holds = program.truth(value, before)
        except CelError as error:
            detail = f"{error} evaluating rule: {rule.message or text}"
            errors.append(FieldError("Invalid value", _shown(path), f'"{schema.type}"', detail))
            return
        if not holds:
            at = path
            for step in steps:
                at = (at, step)
            said = _message(message_program, value, before) or rule.message or f"failed rule: {text}"
            errors.append(_error(rule.reason, _shown(at), value if not steps else ABSENT, said))

    return run, is_transition


def _shown(path: Path) -> str:
    """The path as Go prints it: that of the object itself is nil."""
    return render_path(path) or "<nil>"


def _message(program: Program | None, value: Any, old: Any) -> str:
    """What the message expression says; empty if it fails or says nothing that fits one line."""
    if program is None:
        return ""
    try:
        said = program.run(value, old)
    except CelError:
        return ""
    return said if isinstance(said, str) and said.strip() and "\n" not in said else ""


def _error(reason: str, path: str, value: Any, said: str) -> FieldError:
    match reason:
        case "FieldValueForbidden":
            return forbidden(path, said)
        case "FieldValueRequired":
            return required(path, said)
        case "FieldValueDuplicate":
            return FieldError("Duplicate value", path, None if value is ABSENT else render(value), said)
        case _:
            if value is ABSENT or isinstance(value, list | Mapping):
                return FieldError("Invalid value", path, None, said)
            return invalid(path, value, said)


def _field_path(text: str) -> Sequence[str | int]:
    """The steps of a rule's `fieldPath`."""
    steps: list[str | int] = []
    for name, key, idx in _FIELD_STEP.findall(text):
        steps.append(name or (Key(key) if key else int(idx)))
    return steps
