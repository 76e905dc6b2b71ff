"""Rows as text in columns: what `kubectl get` looks like.

Source: none; the form is kubectl's, three spaces between columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

GAP = "   "


def in_columns(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> Iterator[str]:
    """Lay rows out, each column as wide as its widest cell.

    Args:
        rows: all of one length, the heading first.
        right: columns that are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield GAP.join(cells).rstrip()
