"""Where pods are and where there is room, asked of a running cluster, by the command as people run it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pykueue.api.kinds import LEADER_WORKER_SET
from support.commands import CommandLine


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The example scaled to five groups: each of four fills a rack, and one finds none."""
    found = CommandLine(tmp_path_factory.mktemp("topology"), "02-topology")
    try:
        found.request("PATCH", LEADER_WORKER_SET, "trainer", {"spec": {"replicas": 5}}, "scale")
        found.until_admitted(4, 5)
        yield found
    finally:
        found.end()


def test_the_table_and_the_same_as_json(cluster: CommandLine) -> None:
    """Two blocks of two racks of two hosts, without a free GPU."""
    page = cluster.run("topology", "default").stdout.splitlines()
    assert page[0].startswith("Topology default, flavor gpu-nodes: ")
    assert [line.split()[0] for line in page[2:6]] == ["b1", "b1-r1", "b1-r1-n1", "b1-r1-n2"]
    assert len(page) == 2 + 2 + 4 + 8
    (facts,) = cluster.json("topology")["topologies"]
    gpus = [r for block in facts["domains"] for r in block["resources"] if r["resource"] == "nvidia.com/gpu"]
    assert [(r["capacity"], r["workloads"], r["others"], r["free"], r["usedShare"]) for r in gpus] == [
        ("32", "32", "0", "0", 1.0),
        ("32", "32", "0", "0", 1.0),
    ]


def test_pictures_of_a_placement(cluster: CommandLine, tmp_path: Path) -> None:
    """The rack of one group is marked, in both formats."""
    (facts,) = cluster.json("topology")["topologies"]
    name = facts["domains"][0]["workloads"][0]["workload"]
    for form in ("svg", "png"):
        done = cluster.run("topology", "--workload", name, "-o", form, "--file", tmp_path / f"t.{form}")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert f"pods of {name}</text>" in (tmp_path / "t.svg").read_text()
    with Image.open(tmp_path / "t.png") as image:
        assert (0xD5, 0x5E, 0x00) in {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert cluster.run("topology", "-o", "svg").stdout.startswith("<svg ")


def test_the_group_that_finds_no_rack(cluster: CommandLine) -> None:
    """It has quota; it is told of each level what is missing, who holds a rack, and that its end would do."""
    (waiting,) = [w for w in cluster.json("explain", "lws", "trainer")["workloads"] if w["state"] == "Pending"]
    places = waiting["places"]
    assert (places["strictness"], places["level"], places["hasLeader"]) == (
        "Required", "cloud.provider.com/topology-rack", True,
    )  # fmt: skip
    assert [(level["domains"], level["fits"]) for level in places["levels"]] == [(2, 0), (4, 0), (8, 0)]
    (gpu,) = [r for r in places["levels"][1]["resources"] if r["resource"] == "nvidia.com/gpu"]
    assert (gpu["asked"], gpu["capacity"], gpu["free"], gpu["missing"]) == ("16", "16", "0", "16")
    (tenant,) = places["levels"][1]["tenants"]
    (stop,) = waiting["remedies"]
    assert (stop["kind"], stop["workloads"]) == ("StopWorkloads", [tenant["workload"]])


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("nope",), 1, "pykueue: no ResourceFlavor has the Topology nope"),
        (("--workload", "nope"), 1, "pykueue: Workload default/nope was not found"),
        (("--resource", "fuel"), 3, "'fuel' is none of cpu, memory, nvidia.com/gpu, pods"),
        (
            ("-o", "svg", "--file", "/nowhere/t.svg"),
            3,
            "/nowhere/t.svg cannot be used:\n  - cannot be written: No such",
        ),
        (("-o", "gif"), 2, "'gif' is not one of"),
    ],
)
def test_what_cannot_be_shown(cluster: CommandLine, args: tuple[str, ...], code: int, text: str) -> None:
    """Exit 1 for what is not there, 2 for wrong usage, 3 for what cannot be used."""
    done = cluster.run("topology", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
