"""CEL trees to Python closures.

A closure takes one list of slots: `[budget, variable, variable, ...]`; where a variable lives is known when it is compiled, so
that evaluation looks up no names. Where the schema of a value is known (`self` and what is selected from it), a field that
the schema does not have is refused at compile time, as in Kubernetes.

Errors follow CEL: `false && <error>` is false and `true || <error>` is true, in either order; `all` and `exists` alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pykueue.apiserver.cel import functions
from pykueue.apiserver.cel.library import operators
from pykueue.apiserver.cel.library.arguments import no_overload
from pykueue.apiserver.cel.parser import (
    Call,
    Index,
    ListLiteral,
    Literal,
    MapLiteral,
    Name,
    Node,
    Select,
    error_at,
    parse,
)
from pykueue.apiserver.cel.values import CelError, Optional, Type, equal
from pykueue.apiserver.schema.types import Schema

BUDGET = 1_000_000
"""Steps that one evaluation may take (Kubernetes' limit per rule, in its own unit of cost)."""

_Slots: TypeAlias = list[Any]
_Eval: TypeAlias = Callable[[_Slots], Any]
_TYPE_NAMES = frozenset(("bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"))
_NAMESPACES = frozenset(("optional", "sets", "math", "strings", "base64", "cel", "lists", "ip"))
_COMPARISONS: Mapping[str, Callable[[int], bool]] = {
    "<": lambda sign: sign < 0,
    "<=": lambda sign: sign <= 0,
    ">": lambda sign: sign > 0,
    ">=": lambda sign: sign >= 0,
}
_ARITHMETIC = {
    "+": operators.add,
    "-": operators.subtract,
    "*": operators.multiply,
    "/": operators.divide,
    "%": operators.modulo,
}
_KEYWORDS = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
]
_ESCAPED = {"__dot__": ".", "__dash__": "-", "__slash__": "/", "__underscores__": "__"} | {
    f"__{word}__": word for word in _KEYWORDS
}


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression.

    Attributes:
        text: where it came from.
        names: variables that it uses, of those it was compiled with.
        evaluate: the closure over slots; use `run`.
        n_slots: how many slots it needs.
        variables: all variables it was compiled with, in order of their slots.
    """

    text: str
    names: frozenset[str]
    evaluate: _Eval
    n_slots: int
    variables: tuple[str, ...]

    def run(self, *values: Any) -> Any:
        """Evaluate with values for the variables, in order.

        Raises:
            CelError: the evaluation failed, or cost too much.
        """
        slots = [BUDGET, *values, *(None for _ in range(self.n_slots - len(values) - 1))]
        try:
            return self.evaluate(slots)
        except RecursionError:
            raise CelError("expression is nested too deeply") from None

    def truth(self, *values: Any) -> bool:
        """Evaluate an expression that must be true or false.

        Raises:
            CelError: as `run`, or the value is neither.
        """
        found = self.run(*values)
        if not isinstance(found, bool):
            raise CelError(f"rule must evaluate to a bool, but evaluates to {found!r}")
        return found


def compile_expression(text: str, variables: Mapping[str, Schema | None]) -> Program:
    """Compile one expression.

    Args:
        text: CEL.
        variables: what it may name, in the order in which `Program.run` takes them, each with its schema if that is known.

    Raises:
        CelError: it is no expression, or names what there is not.
    """
    compiler = _Compiler(text)
    scope = {name: (slot, schema) for slot, (name, schema) in enumerate(variables.items(), start=1)}
    compiler.n_slots = len(scope) + 1
    try:
        evaluate, _ = compiler.compile(parse(text), scope)
    except RecursionError:
        raise error_at(text, 0, "expression is nested too deeply") from None
    return Program(text, frozenset(compiler.used), evaluate, compiler.n_slots, tuple(variables))


_Scope: TypeAlias = Mapping[str, tuple[int, Schema | None]]
_Compiled: TypeAlias = tuple[_Eval, Schema | None]


class _Compiler:
    def __init__(self, text: str) -> None:
        self._text = text
        self.n_slots = 1
        self.used: dict[str, None] = {}

    def compile(self, node: Node, scope: _Scope) -> _Compiled:
        """The closure of a node, and the schema of its value if that is known."""
        match node:
            case Literal():
                value = node.value
                return (lambda _: value), None
            case Name():
                return self._name(node, scope)
            case Select():
                return self._select(node, scope)
            case Index():
                return self._index(node, scope)
            case ListLiteral():
                return self._list(node, scope), None
            case MapLiteral():
                entries = [(self._eval(k, scope), self._eval(v, scope)) for k, v in node.entries]
                return (lambda slots: {k(slots): v(slots) for k, v in entries}), None
            case Call():
                return self._call(node, scope)

    def _eval(self, node: Node, scope: _Scope) -> _Eval:
        return self.compile(node, scope)[0]

    def _fail(self, at: int, why: str) -> CelError:
        return error_at(self._text, at, why)

    def _new_slot(self) -> int:
        self.n_slots += 1
        return self.n_slots - 1

    def _name(self, node: Name, scope: _Scope) -> _Compiled:
        found = scope.get(node.name)
        if found is not None:
            slot, schema = found
            self.used[node.name] = None
            return (lambda slots: slots[slot]), schema
        if node.name in _TYPE_NAMES:
            type_ = Type(node.name)
            return (lambda _: type_), None
        raise self._fail(node.at, f"undeclared reference to '{node.name}' (in container '')")

    def _list(self, node: ListLiteral, scope: _Scope) -> _Eval:
        items = [self._eval(item, scope) for item in node.items]
        if not node.optional:
            return lambda slots: [item(slots) for item in items]
        optional = node.optional

        def make(slots: _Slots) -> list[Any]:
            found: list[Any] = []
            for idx, item in enumerate(items):
                value = item(slots)
                if idx not in optional:
                    found.append(value)
                elif isinstance(value, Optional) and value.is_present:
                    found.append(value.value)
            return found

        return make

    def _field(self, node: Select, schema: Schema | None) -> tuple[str, Schema | None]:
        """The field's name in the object, and its schema."""
        field = node.field
        if schema is None or schema.type != "object":
            return field, None
        unescaped = re.sub(r"__[a-z]+__", lambda m: _ESCAPED.get(m[0], m[0]), field)
        for name in (field, unescaped):
            if (child := schema.child(name)) is not None:
                return name, child
        if schema.properties and not schema.preserve_unknown and schema.additional_properties is None:
            raise self._fail(node.at, f"undefined field '{field}'")
        return field, None

    def _select(self, node: Select, scope: _Scope) -> _Compiled:
        operand, schema = self.compile(node.operand, scope)
        field, child = self._field(node, schema)
        if node.optional:
            return _optional_get(operand, lambda _: field), child

        def get(slots: _Slots) -> Any:
            value = operand(slots)
            if isinstance(value, Mapping):
                try:
                    return value[field]
                except KeyError:
                    raise CelError(f"no such key: {field}") from None
            if isinstance(value, Optional):
                return _lookup(value, field)
            raise no_overload()

        return get, child

    def _index(self, node: Index, scope: _Scope) -> _Compiled:
        operand, schema = self.compile(node.operand, scope)
        key = self._eval(node.key, scope)
        child = None if schema is None else schema.items
        if schema is not None and isinstance(schema.additional_properties, Schema):
            child = schema.additional_properties
        if node.optional:
            return _optional_get(operand, key), child
        return (lambda slots: _at(operand(slots), key(slots))), child

    def _call(self, node: Call, scope: _Scope) -> _Compiled:
        if node.target is None:
            special = {"&&": self._and, "||": self._or, "?:": self._conditional, "has": self._has}.get(node.function)
            return (special(node, scope), None) if special is not None else (self._function(node, scope), None)
        if isinstance(node.target, Name) and node.target.name in _NAMESPACES and node.target.name not in scope:
            return self._namespaced(node, node.target.name, scope)
        if node.function in _MACROS and node.args and isinstance(node.args[0], Name):
            return self._macro(node, node.target, scope)
        function = functions.METHODS.get(node.function)
        if function is None:
            raise self._fail(node.at, f"undeclared reference to '{node.function}' (in container '')")
        return self._invoke(function, [node.target, *node.args], scope), None

    def _function(self, node: Call, scope: _Scope) -> _Eval:
        args = node.args
        match node.function, len(args):
            case "!_", 1:
                return _not(self._eval(args[0], scope))
            case "-_", 1:
                return _negate(self._eval(args[0], scope))
            case (("==" | "!="), 2):
                a, b = (self._eval(arg, scope) for arg in args)
                wanted = node.function == "=="
                return lambda slots: equal(a(slots), b(slots)) is wanted
            case "in", 2:
                return self._invoke(operators.contains, [args[1], args[0]], scope)
            case sign, 2 if sign in _COMPARISONS:
                a, b = (self._eval(arg, scope) for arg in args)
                holds = _COMPARISONS[sign]
                return lambda slots: holds(operators.order(a(slots), b(slots)))
            case sign, 2 if sign in _ARITHMETIC:
                return self._invoke(_ARITHMETIC[sign], args, scope)
        function = functions.FUNCTIONS.get(node.function)
        if function is None:
            raise self._fail(node.at, f"undeclared reference to '{node.function}' (in container '')")
        return self._invoke(function, args, scope)

    def _invoke(self, function: Callable[..., Any], nodes: Sequence[Node], scope: _Scope) -> _Eval:
        args = [self._eval(node, scope) for node in nodes]

        def call(slots: _Slots) -> Any:
            _spend(slots)
            values = [arg(slots) for arg in args]
            try:
                return function(*values)
            except (TypeError, AttributeError):
                # A library function met a value of a type that it does not take.
                raise no_overload() from None

        return call

    def _namespaced(self, node: Call, namespace: str, scope: _Scope) -> _Compiled:
        name = f"{namespace}.{node.function}"
        if name == "cel.bind" and len(node.args) == 3 and isinstance(node.args[0], Name):
            bound, schema = self.compile(node.args[1], scope)
            slot = self._new_slot()
            body, of_body = self.compile(node.args[2], {**scope, node.args[0].name: (slot, schema)})

            def bind(slots: _Slots) -> Any:
                slots[slot] = bound(slots)
                return body(slots)

            return bind, of_body
        function = functions.FUNCTIONS.get(name)
        if function is None:
            raise self._fail(node.at, f"undeclared reference to '{name}' (in container '')")
        return self._invoke(function, node.args, scope), None

    def _conditional(self, node: Call, scope: _Scope) -> _Eval:
        condition, then, otherwise = (self._eval(arg, scope) for arg in node.args)
        return lambda slots: then(slots) if _bool(condition(slots)) else otherwise(slots)

    def _and(self, node: Call, scope: _Scope) -> _Eval:
        return _absorbing(*(self._eval(arg, scope) for arg in node.args), decisive=False)

    def _or(self, node: Call, scope: _Scope) -> _Eval:
        return _absorbing(*(self._eval(arg, scope) for arg in node.args), decisive=True)

    def _has(self, node: Call, scope: _Scope) -> _Eval:
        if len(node.args) != 1 or not isinstance(node.args[0], Select):
            raise self._fail(node.at, "invalid argument to has() macro")
        operand, schema = self.compile(node.args[0].operand, scope)
        field, _ = self._field(node.args[0], schema)

        def has(slots: _Slots) -> bool:
            value = operand(slots)
            if isinstance(value, Mapping):
                return field in value
            if isinstance(value, Optional):
                return _lookup(value, field).is_present
            raise no_overload()

        return has

    def _macro(self, node: Call, target: Node, scope: _Scope) -> _Compiled:
        """A comprehension: `target.all(x, body)`, `target.map(x, filter, body)`, `target.all(i, x, body)`, ..."""
        operand, schema = self.compile(target, scope)
        names = [arg.name for arg in node.args[: 2 if _has_two_variables(node) else 1] if isinstance(arg, Name)]
        bodies = node.args[len(names) :]
        if not 1 <= len(bodies) <= 2:
            raise self._fail(node.at, f"found no matching overload for '{node.function}'")
        of_item = None if schema is None else schema.items
        of_value = schema.additional_properties if schema is not None else None
        if node.function in {"optMap", "optFlatMap"}:
            of_item = schema
        slots_ = [self._new_slot() for _ in names]
        schemas = (
            [of_item] if len(names) == 1 else [None, of_item or (of_value if isinstance(of_value, Schema) else None)]
        )
        inner = {**scope, **{name: (slot, s) for name, slot, s in zip(names, slots_, schemas, strict=True)}}
        parts = [self._eval(body, inner) for body in bodies]
        made = _MACROS[node.function](operand, slots_, parts)
        return made, schema if node.function == "filter" else None


def _has_two_variables(node: Call) -> bool:
    two = len(node.args) >= 3 and isinstance(node.args[1], Name)
    return two and node.function in {"all", "exists", "exists_one", "existsOne", "transformList", "transformMap"}


def _spend(slots: _Slots) -> None:
    slots[0] -= 1
    if slots[0] < 0:
        raise CelError("operation cancelled: actual cost limit exceeded")


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise no_overload()
    return value


def _not(operand: _Eval) -> _Eval:
    return lambda slots: not _bool(operand(slots))


def _negate(operand: _Eval) -> _Eval:
    return lambda slots: operators.subtract(0, operand(slots))


def _absorbing(a: _Eval, b: _Eval, *, decisive: bool) -> _Eval:
    """`&&` (False decides) and `||` (True decides): a deciding side makes an error on the other one irrelevant."""

    def evaluate(slots: _Slots) -> bool:
        try:
            if _bool(a(slots)) is decisive:
                return decisive
        except CelError:
            if _bool(b(slots)) is decisive:
                return decisive
            raise
        return _bool(b(slots))

    return evaluate


def _at(value: Any, key: Any) -> Any:
    if isinstance(value, Optional):
        return _lookup(value, key)
    if isinstance(value, Mapping):
        if isinstance(key, list | Mapping) or key not in value:
            raise CelError(f"no such key: {key}")
        return value[key]
    if not isinstance(value, list) or isinstance(key, bool) or not isinstance(key, int):
        raise no_overload()
    if not 0 <= key < len(value):
        raise CelError(f"index out of bounds: {key}")
    return value[key]


def _lookup(value: Any, key: Any) -> Optional:
    """A field, key or index that may be absent, of a value that may be absent."""
    if isinstance(value, Optional):
        if not value.is_present:
            return value
        value = value.value
    try:
        return Optional(_at(value, key), is_present=True)
    except CelError:
        return Optional()


def _optional_get(operand: _Eval, key: _Eval) -> _Eval:
    return lambda slots: _lookup(operand(slots), key(slots))


def _elements(value: Any, two: bool) -> list[tuple[Any, ...]]:
    """What a comprehension runs over: items or keys; with two variables, (index or key, value)."""
    if isinstance(value, Mapping):
        return list(value.items()) if two else [(key,) for key in value]
    if isinstance(value, list):
        return list(enumerate(value)) if two else [(item,) for item in value]
    raise no_overload()


_Maker: TypeAlias = Callable[[_Eval, Sequence[int], Sequence[_Eval]], _Eval]


def _each(slots: _Slots, operand: _Eval, at: Sequence[int]) -> Any:
    """Bind the variables to one element after another."""
    for element in _elements(operand(slots), len(at) == 2):
        _spend(slots)
        for slot, value in zip(at, element, strict=True):
            slots[slot] = value
        yield element


def _quantifier(*, decisive: bool) -> _Maker:
    def make(operand: _Eval, at: Sequence[int], parts: Sequence[_Eval]) -> _Eval:
        holds = parts[0]

        def evaluate(slots: _Slots) -> bool:
            failure: CelError | None = None
            for _ in _each(slots, operand, at):
                try:
                    if _bool(holds(slots)) is decisive:
                        return decisive
                except CelError as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            return not decisive

        return evaluate

    return make


def _exists_one(operand: _Eval, at: Sequence[int], parts: Sequence[_Eval]) -> _Eval:
    return lambda slots: sum(_bool(parts[0](slots)) for _ in _each(slots, operand, at)) == 1


def _filter(operand: _Eval, at: Sequence[int], parts: Sequence[_Eval]) -> _Eval:
    return lambda slots: [element[-1] for element in _each(slots, operand, at) if _bool(parts[0](slots))]


def _map(operand: _Eval, at: Sequence[int], parts: Sequence[_Eval]) -> _Eval:
    *conditions, made = parts
    return lambda slots: [
        made(slots) for _ in _each(slots, operand, at) if all(_bool(condition(slots)) for condition in conditions)
    ]


def _transform_map(operand: _Eval, at: Sequence[int], parts: Sequence[_Eval]) -> _Eval:
    *conditions, made = parts
    return lambda slots: {
        element[0]: made(slots)
        for element in _each(slots, operand, at)
        if all(_bool(condition(slots)) for condition in conditions)
    }


def _opt_map(*, flat: bool) -> _Maker:
    def make(operand: _Eval, at: Sequence[int], parts: Sequence[_Eval]) -> _Eval:
        def evaluate(slots: _Slots) -> Any:
            found = operand(slots)
            if not isinstance(found, Optional):
                raise no_overload()
            if not found.is_present:
                return found
            slots[at[0]] = found.value
            value = parts[0](slots)
            return value if flat else Optional(value, is_present=True)

        return evaluate

    return make


_MACROS: Mapping[str, _Maker] = {
    "all": _quantifier(decisive=False),
    "exists": _quantifier(decisive=True),
    "exists_one": _exists_one,
    "existsOne": _exists_one,
    "filter": _filter,
    "map": _map,
    "transformList": _map,
    "transformMap": _transform_map,
    "optMap": _opt_map(flat=False),
    "optFlatMap": _opt_map(flat=True),
}
