"""A topology as a table and as a picture, and pictures as files."""

from __future__ import annotations

import io
import sys
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from pykueue.api.errors import ConfigError
from pykueue.core.explain.facts import DomainFacts, DomainResource, PlacedWorkload, TopologyFacts
from pykueue.views.png import png
from pykueue.views.scene import Rect, Scene, Text, shortened, stacked
from pykueue.views.svg import svg
from pykueue.views.topology_picture import MARK, shade, topology_picture
from pykueue.views.topology_table import topology_table

BLOCK, HOST = "cloud.com/topology-block", "kubernetes.io/hostname"
JOB = "ns/job"


def resources(cpu_used: int, gpu_used: int, n: int = 1) -> tuple[DomainResource, ...]:
    return tuple(
        DomainResource(name, str(all_), str(used), "0", str(all_ - used), used / all_)
        for name, all_, used in (("cpu", 4 * n, cpu_used), ("gpu", 8 * n, gpu_used))
    )


def facts(n_hosts: int = 2) -> TopologyFacts:
    """Two blocks; the job has three pods on the first host."""
    job = (PlacedWorkload(JOB, 3),)
    hosts = [
        DomainFacts(HOST, f"b0-host-{i}", 1, resources(4 if i == 0 else 0, 0), job if i == 0 else (), ())
        for i in range(n_hosts)
    ]
    first = DomainFacts(BLOCK, "b0", n_hosts, resources(4, 0, n_hosts), job, tuple(hosts))
    only = DomainFacts(HOST, "b1-host", 1, resources(0, 4), (), ())
    second = DomainFacts(BLOCK, "b1", 1, resources(0, 4), (), (only,))
    return TopologyFacts("default", "gpu", (BLOCK, HOST), ("cpu", "gpu"), (), (first, second))


def texts(scene: Scene) -> list[str]:
    return [shape.text for shape in scene.shapes if isinstance(shape, Text)]


def test_the_table() -> None:
    """A line a domain, further in with each level; a column for the pods of one Workload if it is asked for."""
    assert topology_table(facts(), workload=JOB) == (
        """\
Topology default, flavor gpu: cloud.com/topology-block > kubernetes.io/hostname
DOMAIN        NODES   CPU FREE/ALL   GPU FREE/ALL   PODS   WORKLOADS
b0                2            4/8          16/16      3   ns/job (3)
  b0-host-0       1            0/4            8/8      3   ns/job (3)
  b0-host-1       1            4/4            8/8      -   -
b1                1            4/4            4/8      -   -
  b1-host         1            4/4            4/8      -   -"""
    )
    assert topology_table(facts(), n_levels=1).count("\n") == 3


def test_a_topology_without_nodes() -> None:
    """It is told what nodes lack."""
    empty = TopologyFacts("default", "gpu", (BLOCK,), (), ("n1", "n2"), ())
    assert topology_table(empty).splitlines()[1:] == [
        "  no usable node has the flavor's labels and a label of each level",
        "Left out, as not ready, cordoned or without a label of each level: n1, n2",
    ]
    assert "no usable nodes;  left out: 2" in texts(topology_picture(empty))


def test_what_is_in_the_picture() -> None:
    """Names, shares of the resource that is used most, and the pods that are marked, in words and by an outline."""
    scene = topology_picture(facts(), workload=JOB)
    told = texts(scene)
    assert {"Topology default, flavor gpu", "block: 2,  hostname: 3", "b0", "b0-host-0", "100%", "3 pods"} <= set(told)
    assert told[told.index("b1-host") + 1] == "50%"
    marked = [s for s in scene.shapes if isinstance(s, Rect) and s.stroke == MARK]
    assert [s.title.partition("\n")[0] for s in marked] == [f"{BLOCK}=b0", "", ""]
    assert "share in use, of cpu" in texts(topology_picture(facts(), resource="cpu"))
    assert not [s for s in topology_picture(facts()).shapes if isinstance(s, Rect) and s.stroke == MARK]


@pytest.mark.parametrize("n_hosts", [1, 7, 200, 1000, 5000])
def test_boxes_lie_within_each_other(n_hosts: int) -> None:
    """Nothing is drawn outside of the picture, and no two hosts lie over each other, whatever their number."""
    scene = topology_picture(facts(n_hosts), workload=JOB)
    for shape in scene.shapes:
        width, height = (shape.width, shape.height) if isinstance(shape, Rect) else (0.0, 0.0)
        assert shape.x >= 0
        assert shape.y >= 0
        assert shape.x + width <= scene.width
        assert shape.y + height <= scene.height
    hosts = [s for s in scene.shapes if isinstance(s, Rect) and s.title.startswith(HOST)]
    assert len({(s.x, s.y) for s in hosts}) == n_hosts + 1
    assert 0.3 < scene.width / scene.height < 6


def test_fuller_is_darker() -> None:
    """The scale is one of lightness: it never turns back."""
    greys = [sum(int(shade(n / 50)[i : i + 2], 16) for i in (1, 3, 5)) for n in range(51)]
    assert greys == sorted(greys, reverse=True)
    assert (shade(-1.0), shade(9.0)) == (shade(0.0), shade(1.0))


def test_svg() -> None:
    """It is well formed, and says what the scene says; what would be markup is text."""
    scene = Scene(
        40, 20, (Rect(1, 2, 3.25, 4, "#abcdef", "#000000", 2, "a<b"), Text(5, 6, "x & y", 9, "#111111", "end", True))
    )
    root = ET.fromstring(svg(scene))
    space = "{http://www.w3.org/2000/svg}"
    _, rect = root.findall(f"{space}rect")
    assert (rect.get("width"), rect.get("fill"), rect.get("stroke-width")) == ("3.2", "#abcdef", "2")
    assert rect[0].text == "a<b"
    (text,) = root.findall(f"{space}text")
    assert (text.text, text.get("text-anchor"), text.get("font-weight")) == ("x & y", "end", "600")


def test_png() -> None:
    """It has the scene's colours where the scene has them, twice as large."""
    image = Image.open(io.BytesIO(png(Scene(40, 20, (Rect(10, 5, 10, 10, "#ff0000"), Text(22, 12, "W", 12))))))
    assert image.size == (80, 40)
    assert image.getpixel((30, 20)) == (255, 0, 0)
    assert image.getpixel((2, 2)) == (255, 255, 255)
    assert min(image.convert("L").crop((44, 0, 80, 40)).getextrema()) < 100


def test_png_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named, and the way that needs none."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ConfigError) as told:
        png(Scene(1, 1, ()))
    assert told.value.faults == ("the library Pillow is missing: pip install 'pykueue[png]', or use -o svg",)


def test_texts_that_are_too_long() -> None:
    """The end that matters stays."""
    assert shortened("node-0001", 10, 1000) == "node-0001"
    assert shortened("node-0001", 10, 30) == "node…"
    assert shortened("node-0001", 10, 30, keep="end") == "…0001"
    assert shortened("node-0001", 10, 5) == ""


def test_pictures_one_above_the_other() -> None:
    """Each begins below the one before."""
    scene = stacked([Scene(10, 20, (Rect(0, 1, 2, 3),)), Scene(30, 5, (Text(0, 4, "x"),))], gap=2)
    assert (scene.width, scene.height, [s.y for s in scene.shapes]) == (30, 27, [1, 26])
