"""CEL: what expressions evaluate to, and how they fail."""

import pytest

from pykueue.apiserver.cel import CelError, compile_expression
from pykueue.apiserver.schema.types import from_crd

SELF = {
    "n": 3, "f": 1.5, "s": "Hello World", "b": True, "list": [1, 2, 3], "names": ["b", "a", "b"],
    "map": {"x": 1, "a-b": 2}, "items": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "when": "2026-01-02T03:04:05Z",
}  # fmt: skip


def run(text, self=SELF, old=None):
    return compile_expression(text, {"self": None, "oldSelf": None}).run(self, old)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1 + 2 * 3 - 4 / 2", 5),
        ("-7 / 2 == -3 && -7 % 2 == -1", True),
        ("7.0 / 2.0", 3.5),
        ("'a' + \"b\" + r'\\n' + '\\n'", "ab\\n\n"),
        ("self.n > 2 ? 'big' : 'small'", "big"),
        ("!(self.n == 3) || self.b", True),
        ("1 == 1.0 && 1 != true && [true] != [1]", True),
        ("has(self.n) && !has(self.nope)", True),
        ("self.list.all(x, x > 0) && self.list.exists(x, x == 2) && self.list.exists_one(x, x > 2)", True),
        ("self.list.filter(x, x != 2).map(x, x * 10)", [10, 30]),
        ("self.items.map(i, i.v > 1, i.k)", ["b"]),
        ("self.map.all(k, size(k) > 0) && 'x' in self.map && 2 in self.list", True),
        ("self.items.all(i, a, self.items.exists(b, b.k == a.k)) && self.list[0] == 1", True),
        ("size(self.s) + self.s.size()", 22),
        ("self.s.startsWith('Hello') && self.s.endsWith('ld') && self.s.contains('o W')", True),
        ("self.s.matches('^[A-Z][a-z]+ World$')", True),
        ("self.s.lowerAscii().split(' ')", ["hello", "world"]),
        ("self.s.replace('l', 'L', 2).substring(0, 5)", "HeLLo"),
        ("['a', 'b'].join('-') + ' x '.trim() + 'abc'.charAt(1)", "a-bxb"),
        ("'%s is %d'.format(['a', 3])", "a is 3"),
        ("self.names.isSorted() || self.list.isSorted()", True),
        ("self.list.sum() + self.list.max() + self.list.min()", 10),
        ("self.names.indexOf('a') == 1 && self.names.lastIndexOf('b') == 2", True),
        ("sets.contains([1, 2], [1]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], [1, 2])", True),
        ("quantity('1500m').isGreaterThan(quantity('1')) && isQuantity('1Gi') && !isQuantity('x')", True),
        ("quantity('1Gi').asInteger()", 1 << 30),
        ("quantity('1').add(quantity('500m')).compareTo(quantity('1500m'))", 0),
        ("url('https://h:80/p?q=1').getHost() == 'h:80' && isURL('https://x') && !isURL('x y')", True),
        ("isIP('10.0.0.1') && cidr('10.0.0.0/8').containsIP('10.1.2.3') && ip('::1').family() == 6", True),
        ("timestamp(self.when) + duration('1h') > timestamp('2026-01-02T04:00:00Z')", True),
        ("timestamp(self.when).getFullYear() + timestamp(self.when).getMonth()", 2026),
        ("duration('1h30m').getMinutes()", 90),
        ("int('5') + int(2.9)", 7),
        ("string(5) + string(true) + string(1.5)", "5true1.5"),
        ("type(1) == int && type('') == string", True),
        ("self.?nope.orValue('none') + self.?s.orValue('')", "noneHello World"),
        ("self[?'nope'].hasValue() || optional.of(1).optMap(x, x + 1).value() == 2", True),
        ("{'a': 1, 'b': [2]}.b[0]", 2),
        ("[1, ?self.?nope, ?optional.of(3)]", [1, 3]),
        ("cel.bind(x, self.n + 1, x * x)", 16),
        ("self.map['a-b'] + self.map.`a-b`", 4),
        ("0x1F + 1e2 > 130", True),
        ("// why\n true", True),
        ("self.names.distinct()", ["b", "a"]),
    ],
)  # fmt: skip
def test_values(text, want):
    """Expressions have the value that CEL gives them."""
    got = run(text)
    assert got == want
    assert type(got) is type(want)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("self.nope == 1", "no such key: nope"),
        ("self.list[7]", "index out of bounds: 7"),
        ("1 / 0 == 1", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("self.s + 1", "no such overload"),
        ("self.n && true", "no such overload"),
        ("self.s < 1", "no such overload"),
        ("self.list.exists(x, x.foo == 1)", "no such overload"),
        ("int('x')", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("optional.none().value()", "optional.none() dereference"),
    ],
)
def test_failures(text, want):
    """Evaluation fails with CEL's words."""
    with pytest.raises(CelError) as caught:
        run(text)
    assert str(caught.value) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("false && self.nope", False),
        ("self.nope && false", False),
        ("true || self.nope", True),
        ("self.nope || true", True),
        ("self.items.exists(i, i.k == 'b' || i.nope)", True),
        ("self.items.all(i, i.k == 'zz' && i.nope)", False),
    ],
)
def test_errors_that_do_not_matter(text, want):
    """A side that decides makes the other one's error irrelevant, in either order."""
    assert run(text) is want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("self.", "expecting IDENTIFIER"),
        ("1 +", "expecting an expression"),
        ("foo == 1", "undeclared reference to 'foo'"),
        ("semver('1.0.0')", "undeclared reference to 'semver'"),
        ("self.s.nope()", "undeclared reference to 'nope'"),
        ("'a", "token recognition error"),
        ("has(self)", "invalid argument to has() macro"),
        ("(" * 300 + "1" + ")" * 300, "nested too deeply"),
    ],
)
def test_does_not_compile(text, want):
    """What cannot be compiled says so and where."""
    with pytest.raises(CelError, match="ERROR: <input>:") as caught:
        run(text)
    assert want in str(caught.value)


def test_fields_are_checked_against_a_schema():
    """A field that the schema does not have is refused before anything is evaluated."""
    schema = from_crd({"type": "object", "properties": {"spec": {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}}}}}})  # fmt: skip
    compile_expression("self.spec.items.all(i, i.a > 0)", {"self": schema})
    with pytest.raises(CelError, match="undefined field 'b'"):
        compile_expression("self.spec.items.all(i, i.b > 0)", {"self": schema})


def test_cost_is_bounded():
    """An expression that takes too many steps is stopped."""
    many = list(range(2000))
    with pytest.raises(CelError, match="actual cost limit exceeded"):
        run("self.all(a, self.all(b, a + b >= 0))", many)
