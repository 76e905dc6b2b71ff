"""A topology as nested boxes: blocks around racks around hosts, each coloured by how much of it is used.

Every domain is a box with its children in a grid; the last level are cells, as large as their number allows. A darker blue is a fuller one: a scale of
lightness in one hue is read the same by people who see colours differently, and prints in grey. The pods of one Workload are marked by an outline in
orange with their number.

Pure: facts in, a scene out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pykueue.core.explain.facts import DomainFacts, DomainResource, TopologyFacts
from pykueue.views.scene import Rect, Scene, Shape, Text, shortened, text_width

MARGIN, PAD, GAP, HEADER = 20.0, 8.0, 4.0, 20.0
INK, FAINT, LINE, PAPER, MARK = "#1a1a1a", "#5a6472", "#b8c1cc", "#f6f8fa", "#d55e00"
_RAMP = ("#ffffff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b")
_DARK = 0.18
"""Luminance below which white text is read better than black."""
_ASPECT = 1.7
_PAGE_ASPECT = 2.2
"""Wanted ratios of width to height, of a box and of all."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """Size of a box of the last level; without a font it has no text."""

    width: float
    height: float
    font: float
    gap: float


def _cell(n_leaves: int) -> _Cell:
    if n_leaves <= 96:
        return _Cell(104.0, 38.0, 11.0, GAP)
    if n_leaves <= 512:
        return _Cell(62.0, 22.0, 9.0, 3.0)
    if n_leaves <= 4096:
        return _Cell(12.0, 12.0, 0.0, 2.0)
    return _Cell(7.0, 7.0, 0.0, 1.0)


@dataclass(slots=True)
class _Box:
    """A domain with its place."""

    domain: DomainFacts
    width: float
    height: float
    children: list[tuple[float, float, _Box]]


def topology_picture(facts: TopologyFacts, *, resource: str = "", workload: str = "") -> Scene:
    """Draw a topology.

    Args:
        facts: of it, on the nodes of one flavor.
        resource: that colours tell of; empty for the one that each domain has least left of.
        workload: whose pods are marked, as `namespace/name`; empty for nobody's.
    """
    cell = _cell(_count_leaves(facts.domains))
    boxes = [_lay_out(domain, cell) for domain in facts.domains]
    inner, width, height = _grid(boxes, PAD, _PAGE_ASPECT)
    header = 64.0
    legend = 54.0
    title = f"Topology {facts.topology}, flavor {facts.flavor}"
    width = max(width, text_width(title, 18.0), 520.0)
    drawing = _Drawing(resource, workload, cell)
    shapes: list[Shape] = [
        Text(MARGIN, MARGIN + 16, title, 18.0, INK, is_bold=True),
        Text(MARGIN, MARGIN + 36, shortened(_summary(facts), 12.0, width), 12.0, FAINT),
    ]
    for x, y, box in inner:
        shapes += drawing.box(box, MARGIN + x, header + y)
    shapes += _legend(MARGIN, header + height + 14.0, resource, workload)
    return Scene(width + 2 * MARGIN, header + height + legend + MARGIN, tuple(shapes))


def shade(share: float) -> str:
    """The colour of a share in use, 0.0 to 1.0; what is beyond is as full."""
    place = min(max(share, 0.0), 1.0) * (len(_RAMP) - 1)
    i = min(int(place), len(_RAMP) - 2)
    low, high = _channels(_RAMP[i]), _channels(_RAMP[i + 1])
    mixed = (round(a + (b - a) * (place - i)) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def used_share(domain: DomainFacts, resource: str) -> tuple[float, str]:
    """How much of a domain is used, and of which resource."""
    known: Sequence[DomainResource] = [r for r in domain.resources if not resource or r.resource == resource]
    busiest = max(known, key=lambda r: r.used_share, default=None)
    return (busiest.used_share, busiest.resource) if busiest is not None else (0.0, resource)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """What all boxes share."""

    resource: str
    workload: str
    cell: _Cell

    def box(self, box: _Box, x: float, y: float) -> Iterator[Shape]:
        """A domain and all inside."""
        share, _ = used_share(box.domain, self.resource)
        n_pods = next((w.pods for w in box.domain.workloads if w.workload == self.workload), 0)
        if box.children or box.domain.domains:
            yield from self._frame(box, x, y, share, n_pods)
        else:
            yield from self._leaf(box, x, y, share, n_pods)

    def _frame(self, box: _Box, x: float, y: float, share: float, n_pods: int) -> Iterator[Shape]:
        room = box.width - 2 * PAD
        named = text_width(box.domain.name, 12.0) + PAD
        pods = [_pods(n_pods)] if n_pods else []
        told = next((t for t in ("  ".join([*pods, f"{share:.0%}"]), *pods) if named + text_width(t, 11.0) <= room), "")
        yield Rect(
            x,
            y,
            box.width,
            box.height,
            PAPER,
            MARK if n_pods else LINE,
            1.5 if n_pods else 1.0,
            self._title(box.domain),
        )
        # The share as a bar along the upper edge: the frame itself stays light, so that what is inside is seen.
        if share > 0:
            yield Rect(x + 1, y + 1, (box.width - 2) * min(share, 1.0), 3.0, shade(max(share, 0.35)))
        if told:
            yield Text(x + box.width - PAD, y + 16, told, 11.0, MARK if n_pods else FAINT, "end")
            room -= text_width(told, 11.0) + PAD
        name = shortened(box.domain.name, 12.0, room)
        if name:
            yield Text(x + PAD, y + 16, name, 12.0, INK, is_bold=True)
        for dx, dy, child in box.children:
            yield from self.box(child, x + dx, y + dy)

    def _leaf(self, box: _Box, x: float, y: float, share: float, n_pods: int) -> Iterator[Shape]:
        cell, fill, name = self.cell, shade(share), box.domain.name
        yield Rect(x, y, cell.width, cell.height, fill, LINE, 0.5, self._title(box.domain))
        if n_pods:
            width = 3.0 if cell.font else 2.0
            inset = width / 2
            yield Rect(x + inset, y + inset, cell.width - width, cell.height - width, "", MARK, width)
        if not cell.font:
            return
        ink = INK if _luminance(fill) > _DARK else "#ffffff"
        marked = _pods(n_pods) if n_pods else ""
        if cell.height > 3 * cell.font:
            yield Text(
                x + 6, y + cell.font + 5, shortened(name, cell.font, cell.width - 10, keep="end"), cell.font, ink
            )
            yield Text(x + 6, y + 2 * cell.font + 9, f"{share:.0%}", cell.font, ink)
            if marked:
                yield Text(x + cell.width - 6, y + 2 * cell.font + 9, marked, cell.font, ink, "end", is_bold=True)
            return
        marked = marked.partition(" ")[0]
        room = cell.width - 10 - text_width(marked, cell.font)
        yield Text(x + 6, y + cell.font + 5, shortened(name, cell.font, room, keep="end"), cell.font, ink)
        if marked:
            yield Text(x + cell.width - 5, y + cell.font + 5, marked, cell.font, ink, "end", is_bold=True)

    def _title(self, domain: DomainFacts) -> str:
        amounts = [f"{r.resource}: {r.free} free of {r.capacity}" for r in domain.resources]
        tenants = [f"{w.workload}: {w.pods} pods" for w in domain.workloads[:8]]
        return "\n".join([f"{domain.level}={domain.name}", *amounts, *tenants])


def _count_leaves(domains: Sequence[DomainFacts]) -> int:
    return sum(_count_leaves(d.domains) if d.domains else 1 for d in domains)


def _lay_out(domain: DomainFacts, cell: _Cell) -> _Box:
    """Size of a domain's box, from those inside."""
    if not domain.domains:
        return _Box(domain, cell.width, cell.height, [])
    boxes = [_lay_out(child, cell) for child in domain.domains]
    placed, width, height = _grid(boxes, PAD if boxes[0].children else cell.gap)
    shifted = [(PAD + x, HEADER + 4 + y, box) for x, y, box in placed]
    return _Box(domain, width + 2 * PAD, HEADER + 4 + height + PAD, shifted)


def _columns(n: int, shape: float, aspect: float) -> int:
    """How many columns come nearest to the wanted ratio of width to height, for boxes of a shape; with rows that are all about as full."""
    ideal = math.sqrt(n * aspect / shape)
    nearest = min((math.floor(ideal), math.ceil(ideal)), key=lambda c: _distance(max(1, min(c, n)), n, shape, aspect))
    n_columns = max(1, min(nearest, n))
    return math.ceil(n / math.ceil(n / n_columns))


def _distance(n_columns: int, n: int, shape: float, aspect: float) -> float:
    return abs(math.log(n_columns * shape / math.ceil(n / n_columns) / aspect))


def _grid(
    boxes: Sequence[_Box], gap: float, aspect: float = _ASPECT
) -> tuple[list[tuple[float, float, _Box]], float, float]:
    """Places in rows of one number of columns, and the size of all; rows are as high, columns as wide, as they must."""
    if not boxes:
        return [], 0.0, 0.0
    widest, highest = max(b.width for b in boxes), max(b.height for b in boxes)
    n_columns = _columns(len(boxes), widest / highest, aspect)
    placed: list[tuple[float, float, _Box]] = []
    y = width = 0.0
    for start in range(0, len(boxes), n_columns):
        row = boxes[start : start + n_columns]
        placed += [(i * (widest + gap), y, box) for i, box in enumerate(row)]
        width = max(width, (len(row) - 1) * (widest + gap) + widest)
        y += max(b.height for b in row) + gap
    return placed, width, y - gap


def _summary(facts: TopologyFacts) -> str:
    """How many domains there are of each level."""
    counts: list[int] = []
    level: Sequence[DomainFacts] = facts.domains
    while level:
        counts.append(len(level))
        level = [child for domain in level for child in domain.domains]
    names = [label.rpartition("/")[2].removeprefix("topology-") for label in facts.levels]
    told = ",  ".join(f"{name}: {n}" for n, name in zip(counts, names, strict=False)) or "no usable nodes"
    return f"{told};  left out: {len(facts.left_out)}" if facts.left_out else told


def _legend(x: float, y: float, resource: str, workload: str) -> Iterator[Shape]:
    steps, width = 40, 200.0
    of = resource or "the resource that is used most"
    yield Text(x, y + 10, f"share in use, of {of}", 11.0, FAINT)
    for i in range(steps):
        yield Rect(x + i * width / steps, y + 16, width / steps + 0.5, 10.0, shade((i + 0.5) / steps))
    yield Rect(x, y + 16, width, 10.0, "", LINE, 1.0)
    anchors = (("start", 0.0), ("middle", 0.5), ("end", 1.0))
    for anchor, share in anchors:
        yield Text(x + share * width, y + 38, f"{share:.0%}", 10.0, FAINT, anchor)  # type: ignore[arg-type]
    if workload:
        yield Rect(x + width + 32, y + 16, 18.0, 10.0, "", MARK, 2.5)
        yield Text(x + width + 58, y + 25, f"pods of {workload}", 11.0, MARK)


def _pods(n: int) -> str:
    return f"{n} pod{'s' if n > 1 else ''}"


def _luminance(colour: str) -> float:
    """How light a colour is, 0.0 to 1.0, as contrast is reckoned (WCAG)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (n / 255 for n in _channels(colour))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
