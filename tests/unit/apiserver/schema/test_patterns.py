"""Go's regular expressions."""

import pytest

from pykueue.apiserver.schema.patterns import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "want"),
    [
        ("^a$", "a\n", False),
        (r"a\z", "ba", True),
        ("^(?i)[a-z]([-a-z0-9]*[a-z0-9])?$", "ABC-1", True),
        ("x(a(?i)b|c)d", "xaBd", True),
        ("x(a(?i)b|c)d", "xCd", True),
        ("x(a(?i)b|c)d", "xaBD", False),
        ("^[[:alpha:]_]+$", "ab_", True),
        ("^[[:digit:]]$", "a", False),
        (r"^\$[$]$", "$$", True),
        (r"^\d$", "٣", False),
        ("^[]a]+$", "]a", True),
    ],
)
def test_matches(pattern, text, want):
    """The translation finds what RE2 finds."""
    assert bool(compile_pattern(pattern).search(text)) is want


@pytest.mark.parametrize("pattern", ["(?=a)", "(?<!a)", r"(a)\1", "[a", "(a"])
def test_refused(pattern):
    """What RE2 does not have is refused."""
    with pytest.raises(ValueError, match=r"\S"):
        compile_pattern(pattern)
