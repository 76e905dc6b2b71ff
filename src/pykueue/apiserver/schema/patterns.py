r"""Regular expressions of Go (RE2) as Python's.

The two syntaxes agree on most of what schemas and rules use. Translated are: `$` and `\z` (end of the text, not before a last
newline), flags in the middle (`^(?i)[a-z]$`, valid to the end of their group), named groups, and POSIX classes. What RE2 does
not have (look-around, back-references) is refused, for it would be refused by Kubernetes too.
"""

from __future__ import annotations

import re
from functools import lru_cache

_FLAGS = re.compile(r"\(\?([a-zA-Z]+)\)")
_REFUSED = re.compile(r"\(\?(?:<?[=!]|P=|\()")
_POSIX = {
    "[:alnum:]": "0-9A-Za-z", "[:alpha:]": "A-Za-z", "[:digit:]": "0-9", "[:lower:]": "a-z", "[:upper:]": "A-Z",
    "[:space:]": r"\t\n\v\f\r ", "[:word:]": r"0-9A-Za-z_", "[:xdigit:]": "0-9A-Fa-f", "[:punct:]": r"!-/:-@\[-`{-~",
    "[:blank:]": r"\t ", "[:cntrl:]": r"\x00-\x1F\x7F", "[:graph:]": "!-~", "[:print:]": " -~", "[:ascii:]": r"\x00-\x7F",
}  # fmt: skip


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern, to be used with `search`.

    Raises:
        ValueError: not a regular expression, or one that RE2 does not have.
    """
    try:
        return re.compile(_translate(pattern), re.ASCII)
    except re.error as error:
        raise ValueError(str(error)) from None


def _translate(pattern: str) -> str:
    out: list[str] = []
    opened = [""]
    """Per open group: the flags that were set inside of it, and must be closed with it."""
    idx = 0
    while idx < len(pattern):
        rest = pattern[idx:]
        if rest[0] == "\\":
            step = _escape(rest)
            out.append(step)
            idx += 2
        elif rest[0] == "[":
            length, text = _char_class(rest)
            out.append(text)
            idx += length
        elif flags := _FLAGS.match(rest):
            out.append((")" if opened[-1] else "") + f"(?{flags[1]}:")
            opened[-1] = flags[1]
            idx += flags.end()
        elif _REFUSED.match(rest):
            raise ValueError(f"invalid or unsupported Perl syntax: `{rest[:3]}`")
        else:
            if rest[0] == "(":
                opened.append("")
                out.append("(")
            elif rest[0] == ")" and len(opened) > 1:
                out.append("))" if opened.pop() else ")")
            elif rest[0] == "|" and opened[-1]:
                out.append(f")|(?{opened[-1]}:")
            else:
                out.append(r"\Z" if rest[0] == "$" else rest[0])
            idx += 1
    return "".join(out) + (")" if opened[0] else "")


def _escape(rest: str) -> str:
    match rest[1:2]:
        case "z":
            return r"\Z"
        case digit if digit.isdigit():
            raise ValueError(f"invalid escape sequence: `{rest[:2]}`")
        case _:
            return rest[:2]


def _char_class(rest: str) -> tuple[int, str]:
    """Length and translation of a bracket expression."""
    idx = 2 if rest[1:2] == "^" else 1
    text = rest[:idx]
    first = True
    while idx < len(rest):
        posix = next((name for name in _POSIX if rest.startswith(name, idx)), None)
        if posix is not None:
            text, idx = text + _POSIX[posix], idx + len(posix)
        elif rest[idx] == "\\":
            text, idx = text + rest[idx : idx + 2], idx + 2
        elif rest[idx] == "]" and not first:
            return idx + 1, text + "]"
        else:
            text, idx = text + (f"\\{rest[idx]}" if rest[idx] in "[]" else rest[idx]), idx + 1
        first = False
    raise ValueError(f"missing closing ]: `{rest}`")
