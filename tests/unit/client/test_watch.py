"""Decoding watches, in pieces of any size."""

from __future__ import annotations

import pytest

from pykueue.api.errors import ApiError, Expired, Timeout, TransportError
from pykueue.client.watch import WatchDecoder

STREAM = b'{"type":"ADDED","object":{"a":1}}\n{"type":"BOOKMARK","object":{"b":"\xc3\xa9"}}\n\n{"type":"DELETED","object":{}}\n'


@pytest.mark.parametrize("size", [1, 2, 7, 33, 34, 1000])
def test_pieces_of_any_size_give_the_same_lines(size: int) -> None:
    """Half lines wait for their rest."""
    decoder = WatchDecoder()
    lines = [line for at in range(0, len(STREAM), size) for line in decoder.feed(STREAM[at : at + size])]
    assert [(line.type, line.object) for line in lines] == [
        ("ADDED", {"a": 1}),
        ("BOOKMARK", {"b": "é"}),
        ("DELETED", {}),
    ]


@pytest.mark.parametrize(
    ("line", "want"),
    [
        (b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n', Expired),
        (b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Gone","message":"too old"}}\n', Expired),
        (b'{"type":"ERROR","object":{"kind":"Status","code":504,"reason":"Timeout","message":"slow"}}\n', Timeout),
        (b"<html>\n", TransportError),
        (b'{"type":"ADDED"}\n', TransportError),
    ],
)
def test_errors_end_the_watch(line: bytes, want: type[ApiError]) -> None:
    """A Status becomes the error it tells; what is no line of a watch is a broken transport."""
    with pytest.raises(want):
        list(WatchDecoder().feed(line))
