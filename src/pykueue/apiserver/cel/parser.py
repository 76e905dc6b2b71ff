"""CEL text to a syntax tree, by recursive descent. Macros stay calls; the compiler knows them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from pykueue.apiserver.cel.values import CelError

_DEPTH_MAX = 50
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<uint>0[xX][0-9a-fA-F]+[uU]|\d+[uU])
  | (?P<int>0[xX][0-9a-fA-F]+|\d+)
  | (?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:'''[\s\S]*?(?<!\\)'''|\"\"\"[\s\S]*?(?<!\\)\"\"\"|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
  | (?P<ident>[A-Za-z_][A-Za-z0-9_]*|`[A-Za-z0-9_.\-/ ]+`)
  | (?P<op>&&|\|\||==|!=|<=|>=|\?\.|\[\?|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_RELATIONS = frozenset(("==", "!=", "<", "<=", ">", ">=", "in"))
_ESCAPES = {
    "n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: Any
    at: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or `operand.?field`."""

    operand: Node
    field: str
    at: int
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """`operand[key]`, or `operand[?key]`."""

    operand: Node
    key: Node
    at: int
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """`function(args)` or `target.function(args)`; operators are calls named by their sign, `?:` for the conditional."""

    function: str
    target: Node | None
    args: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """`[a, b]`; items at indexes in `optional` are dropped when absent."""

    items: tuple[Node, ...]
    optional: frozenset[int]
    at: int


@dataclass(frozen=True, slots=True)
class MapLiteral:
    """`{k: v}`."""

    entries: tuple[tuple[Node, Node], ...]
    at: int


Node: TypeAlias = Literal | Name | Select | Index | Call | ListLiteral | MapLiteral


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        CelError: the text is not an expression; the message points at the place.
    """
    parser = _Parser(text)
    node = parser.conditional()
    parser.expect_end()
    return node


def error_at(text: str, at: int, why: str) -> CelError:
    """An error of compilation, with the place as CEL prints it."""
    line = text.count("\n", 0, at)
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    shown = text[start : end if end >= 0 else len(text)]
    return CelError(f"ERROR: <input>:{line + 1}:{at - start + 1}: {why}\n | {shown}\n | {'.' * (at - start)}^")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._scan()
        self._idx = 0
        self._depth = 0

    def _scan(self) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise error_at(self._text, at, f"Syntax error: token recognition error at: '{self._text[at]}'")
            kind = match.lastgroup or ""
            if kind != "space":
                tokens.append(_Token(kind, match.group(), at))
            at = match.end()
        tokens.append(_Token("end", "<EOF>", at))
        return tokens

    @property
    def _next(self) -> _Token:
        return self._tokens[self._idx]

    def _take(self) -> _Token:
        token = self._tokens[self._idx]
        self._idx += 1
        return token

    def _is(self, *texts: str) -> bool:
        return self._next.kind in {"op", "ident"} and self._next.text in texts

    def _accept(self, text: str) -> bool:
        if self._is(text):
            self._idx += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._unexpected(f"'{text}'")

    def _unexpected(self, wanted: str) -> CelError:
        return error_at(
            self._text, self._next.at, f"Syntax error: mismatched input '{self._next.text}' expecting {wanted}"
        )

    def expect_end(self) -> None:
        if self._next.kind != "end":
            raise self._unexpected("<EOF>")

    def conditional(self) -> Node:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise error_at(self._text, self._next.at, "expression is nested too deeply")
        node = self._binary(0)
        if self._is("?"):
            at = self._take().at
            then = self._binary(0)
            self._expect(":")
            node = Call("?:", None, (node, then, self.conditional()), at)
        self._depth -= 1
        return node

    _LEVELS = (frozenset(("||",)), frozenset(("&&",)), _RELATIONS, frozenset(("+", "-")), frozenset(("*", "/", "%")))

    def _binary(self, level: int) -> Node:
        if level == len(self._LEVELS):
            return self._unary()
        node = self._binary(level + 1)
        while self._is(*self._LEVELS[level]):
            operator = self._take()
            node = Call(operator.text, None, (node, self._binary(level + 1)), operator.at)
        return node

    def _unary(self) -> Node:
        if self._is("!", "-"):
            operator = self._take()
            if operator.text == "-" and self._next.kind in {"int", "float"} and self._next.at == operator.at + 1:
                number = self._take()
                value = -(
                    float(number.text)
                    if number.kind == "float"
                    else int(number.text, 0 if "x" in number.text.lower() else 10)
                )
                return self._member(Literal(value, operator.at))
            operand = self._unary()
            return Call("!_" if operator.text == "!" else "-_", None, (operand,), operator.at)
        return self._member(self._primary())

    def _member(self, node: Node) -> Node:
        while True:
            if self._is("."):
                at = self._take().at
                optional = self._accept("?")
                if self._next.kind != "ident":
                    raise self._unexpected("IDENTIFIER")
                field = self._take().text.strip("`")
                if not optional and self._accept("("):
                    node = Call(field, node, self._arguments(")"), at)
                else:
                    node = Select(node, field, at, optional)
            elif self._is("?."):
                at = self._take().at
                node = Select(node, self._take().text.strip("`"), at, optional=True)
            elif self._is("[", "[?"):
                opened = self._take()
                key = self.conditional()
                self._expect("]")
                node = Index(node, key, opened.at, opened.text == "[?")
            else:
                return node

    def _arguments(self, closing: str) -> tuple[Node, ...]:
        arguments: list[Node] = []
        while not self._accept(closing):
            arguments.append(self.conditional())
            if not self._accept(","):
                self._expect(closing)
                break
        return tuple(arguments)

    def _primary(self) -> Node:
        token = self._take()
        match token.kind:
            case "int" | "uint":
                digits = token.text.rstrip("uU")
                return Literal(int(digits, 16 if digits[:2].lower() == "0x" else 10), token.at)
            case "float":
                return Literal(float(token.text), token.at)
            case "string":
                return Literal(self._unquote(token), token.at)
            case "ident":
                return self._identifier(token)
            case "op" if token.text == "(":
                node = self.conditional()
                self._expect(")")
                return node
            case "op" if token.text in {"[", "[?"}:
                return self._list(token)
            case "op" if token.text == "{":
                return self._map(token)
            case "op" if token.text == ".":
                return self._primary()
            case _:
                self._idx -= 1
                raise self._unexpected("an expression")

    def _identifier(self, token: _Token) -> Node:
        if token.text in {"true", "false", "null"}:
            return Literal({"true": True, "false": False, "null": None}[token.text], token.at)
        if token.text == "in":
            self._idx -= 1
            raise self._unexpected("an expression")
        if self._accept("("):
            return Call(token.text, None, self._arguments(")"), token.at)
        return Name(token.text, token.at)

    def _list(self, opened: _Token) -> Node:
        items: list[Node] = []
        optional: set[int] = set()
        is_optional = opened.text == "[?"
        while not self._accept("]"):
            if is_optional or self._accept("?"):
                optional.add(len(items))
                is_optional = False
            items.append(self.conditional())
            if not self._accept(","):
                self._expect("]")
                break
        return ListLiteral(tuple(items), frozenset(optional), opened.at)

    def _map(self, opened: _Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        while not self._accept("}"):
            key = self.conditional()
            self._expect(":")
            entries.append((key, self.conditional()))
            if not self._accept(","):
                self._expect("}")
                break
        return MapLiteral(tuple(entries), opened.at)

    def _unquote(self, token: _Token) -> str | bytes:
        prefix = re.match(r"[rRbB]*", token.text)
        flags = prefix.group().lower() if prefix else ""
        body = token.text[len(flags) :]
        quotes = 3 if body[:3] in {"'''", '"""'} else 1
        body = body[quotes:-quotes]
        text = (
            body
            if "r" in flags
            else re.sub(
                r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)",
                lambda m: self._escape(m[1], token),
                body,
                flags=re.DOTALL,
            )
        )
        return text.encode("latin-1" if "\\x" in body else "utf-8") if "b" in flags else text

    def _escape(self, escape: str, token: _Token) -> str:
        if len(escape) == 1:
            if escape not in _ESCAPES:
                raise error_at(self._text, token.at, f"Syntax error: invalid escape sequence '\\{escape}'")
            return _ESCAPES[escape]
        return chr(int(escape, 8) if escape[0] in "0123" else int(escape[1:], 16))
