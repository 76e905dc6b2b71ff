"""Go's duration strings."""

import pytest

from pykueue.api.configuration.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "micros", "canonical"),
    [
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
        ("5m", 300_000_000, "5m0s"),
        ("1h30m", 5_400_000_000, "1h30m0s"),
        ("1.5s", 1_500_000, "1.5s"),
        ("100ms", 100_000, "100ms"),
        ("1.25ms", 1_250, "1.25ms"),
        ("7us", 7, "7µs"),
        ("-15s", -15_000_000, "-15s"),
        ("90s", 90_000_000, "1m30s"),
        (".5h", 1_800_000_000, "30m0s"),
    ],
)
def test_durations_are_read_and_written_as_go_does(text, micros, canonical):
    """Reading gives microseconds, writing the canonical form."""
    assert parse_duration(text) == micros
    assert format_duration(micros) == canonical
    assert parse_duration(canonical) == micros


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", 'time: invalid duration ""'),
        ("5", 'time: missing unit in duration "5"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("five", 'time: invalid duration "five"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
    ],
)
def test_what_is_no_duration_is_refused_in_gos_words(text, want):
    """The error is the one a person finds when searching."""
    with pytest.raises(ValueError, match=r"^time: ") as caught:
        parse_duration(text)
    assert str(caught.value) == want
