"""Decoding a watch: bytes in whatever pieces they arrive, lines out. Pure.

A line is a JSON object of `type` and `object`. An `ERROR` line carries a Status and ends the watch: 410 as `Expired`; other
codes (API servers answer 504 and 500 inside of the stream as well) as the error they tell.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pykueue.api.errors import TransportError, error_from_status
from pykueue.ports.transport import WatchLine

_LINE_BYTES_MAX = 64 * 1024 * 1024


class WatchDecoder:
    """Keeps what is half of a line until the rest comes."""

    def __init__(self) -> None:
        """A decoder at the beginning of a stream."""
        self._decode = msgspec.json.Decoder().decode
        self._rest: list[bytes] = []
        self._rest_length = 0

    def feed(self, chunk: bytes) -> Iterator[WatchLine]:
        """The lines that a piece completes.

        Raises:
            ApiError: an ERROR line.
            TransportError: not a line of a watch.
        """
        head, newline, tail = chunk.partition(b"\n")
        if not newline:
            self._keep(chunk)
            return
        lines = [b"".join((*self._rest, head)), *tail.split(b"\n")]
        self._rest, self._rest_length = [], 0
        self._keep(lines.pop())
        for line in lines:
            if line.strip():
                yield self._line(line)

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._rest.append(rest)
            self._rest_length += len(rest)
        if self._rest_length > _LINE_BYTES_MAX:
            raise TransportError(f"a line of a watch is longer than {_LINE_BYTES_MAX} bytes")

    def _line(self, line: bytes) -> WatchLine:
        try:
            event = self._decode(line)
            type_, obj = event["type"], event["object"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise TransportError(f"not a line of a watch: {line[:200]!r}") from error
        if type_ == "ERROR":
            raise error_from_status(int(obj.get("code") or 500), obj)
        return WatchLine(type_, obj)
