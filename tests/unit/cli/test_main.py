"""What the command line says of bad input, and how it exits. Nothing here starts a cluster that works."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pykueue.cli.main import cli

V2 = "apiVersion: config.kueue.x-k8s.io/v1beta2\nkind: Configuration\n"
V1 = V2.replace("v1beta2", "v1beta1")
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\n"


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in args])


def up(folder: Path, *args: str | Path) -> Result:
    return run("up", "--memory", "--port", "0", "--kubeconfig", folder / "kubeconfig", *args)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            V2 + "foo: 1\nwaitForPodsReady: {timeout: abc}\n",
            ['unknown field "foo"', "waitForPodsReady.timeout: time: "],
        ),
        (V1 + "foo: 1\n", ['unknown field "foo"']),
        (V2 + "manageJobsWithoutQueueName: 3\n", ["manageJobsWithoutQueueName"]),
        (V2 + "integrations: {frameworks: [nope]}\n", ["integrations.frameworks[0]"]),
        (V2 + "featureGates: {Nope: true}\n", ["unrecognized feature gate: Nope"]),
        ("apiVersion: v1\nkind: Pod\n", ["apiVersion must be config.kueue.x-k8s.io/v1beta2"]),
        ("a: [\n", ["cannot be read as YAML"]),
        ("[]\n", ["must be a mapping with apiVersion and kind"]),
        ("\n", ["the file is empty"]),
    ],
)
def test_a_broken_configuration(tmp_path: Path, text: str, faults: list[str]) -> None:
    """Exit 3; every fault with the path of its field, under the name of the file."""
    file = tmp_path / "config.yaml"
    file.write_text(text)
    result = up(tmp_path, "--config", file)
    assert result.exit_code == 3
    assert f"pykueue: {file} cannot be used:" in result.stderr
    assert all(fault in result.stderr for fault in faults)


@pytest.mark.parametrize(
    ("gates", "want"),
    [("Nope=true", "unrecognized feature gate: Nope"), ("PartialAdmission", "missing bool value for PartialAdmission")],
)
def test_bad_gates(tmp_path: Path, gates: str, want: str) -> None:
    """The flag is at fault, not the configuration."""
    result = up(tmp_path, "--feature-gates", gates)
    assert result.exit_code == 3
    assert f"pykueue: --feature-gates cannot be used:\n  - {want}" in result.stderr


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a: [", "not a manifest: while parsing a flow node"),
        ("- 1", "document 1: an object is expected"),
        ("apiVersion: v1", "document 1: kind: Required value"),
        (CONFIG_MAP, "document 1: metadata.name: Required value"),
        (CONFIG_MAP + "metadata: 5", "document 1: metadata.name: Required value"),
        (CONFIG_MAP + "metadata: {name: a}\n---\n" + CONFIG_MAP, "document 2: metadata.name"),
        (CONFIG_MAP + "metadata: {generateName: a-}", "create those with generateName by kubectl create"),
    ],
)
def test_a_manifest_that_is_none(tmp_path: Path, text: str, want: str) -> None:
    """Exit 3 before anything is started; the document and what it lacks are named."""
    file = tmp_path / "objects.yaml"
    file.write_text(text)
    result = up(tmp_path, "-f", file)
    assert result.exit_code == 3
    assert f"pykueue: {file} cannot be used:" in result.stderr
    assert want in result.stderr
    assert "starting" not in result.stderr


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("- name: n\n  gpus: 4\n", "node 0: unknown field"),
        ("a: [", "is not YAML"),
        (None, "cannot be read"),
    ],
)
def test_bad_nodes(tmp_path: Path, text: str | None, want: str) -> None:
    """Exit 3, with the number of the node."""
    file = tmp_path / "nodes.yaml"
    if text is not None:
        file.write_text(text)
    result = up(tmp_path, "--nodes", file)
    assert result.exit_code == 3
    assert want in result.stderr


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (
            "apiVersion: kueue.x-k8s.io/v1beta2\nkind: LocalQueue\nmetadata: {name: q, namespace: a}\nspec: {cluster: x}",
            'LocalQueue a/q was refused: .*field not declared in schema|LocalQueue a/q was refused: .*"spec.cluster"',
        ),
        (
            "apiVersion: v1\nkind: Nope\nmetadata: {name: x}",
            'Nope x was refused: no matches for kind "Nope" in version',
        ),
    ],
)
def test_an_object_that_is_refused(tmp_path: Path, text: str, want: str) -> None:
    """Exit 1; the object and the server's reason are told."""
    file = tmp_path / "objects.yaml"
    file.write_text(text)
    result = up(tmp_path, "--nodes", "none", "-f", file)
    assert result.exit_code == 1
    assert re.search(want, result.stderr), result.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    """Exit 4."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("up", "--memory", "--nodes", "none", "--port", str(port), "--kubeconfig", tmp_path / "kubeconfig")
    assert result.exit_code == 4
    assert f"pykueue: 127.0.0.1:{port} cannot be used:\n  - cannot listen: Address already in use" in result.stderr


def test_a_kubeconfig_that_cannot_be_written(tmp_path: Path) -> None:
    """Exit 3."""
    (tmp_path / "file").touch()
    result = run("up", "--memory", "--nodes", "none", "--port", "0", "--kubeconfig", tmp_path / "file" / "kubeconfig")
    assert result.exit_code == 3
    assert "the kubeconfig cannot be written" in result.stderr


@pytest.mark.parametrize("content", [b"hello", b"SQLite format 3\0" + b"\xff" * 5000])
def test_damaged_data(tmp_path: Path, content: bytes) -> None:
    """Exit 5, and the file is left as it is."""
    file = tmp_path / "state.sqlite"
    file.write_bytes(content)
    result = run("up", "--data", tmp_path, "--nodes", "none", "--port", "0")
    assert result.exit_code == 5
    assert "restore the file from a backup, or move it away" in result.stderr
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    "args", [("up", "--port", "70000"), ("up", "-f", "/nowhere"), ("manifests", "--only", "x"), ("frob",)]
)
def test_wrong_usage(args: tuple[str, ...]) -> None:
    """Exit 2, with where to find help."""
    result = run(*args)
    assert result.exit_code == 2
    assert "--help" in result.stderr


def test_manager_without_a_cluster(tmp_path: Path) -> None:
    """Exit 3 and the file's name."""
    file = tmp_path / "kubeconfig"
    file.write_text("a: [")
    result = run("manager", "--kubeconfig", file)
    assert result.exit_code == 3
    assert str(file) in result.stderr


def test_parts_of_the_manifests() -> None:
    """`--only` prints that part; parts together are the whole, but for the namespace."""
    parts = [
        run("manifests", "--only", part).stdout for part in ("crds", "rbac", "webhooks", "visibility", "deployment")
    ]
    assert all(parts)
    assert sum(p.count("\nkind: ") for p in parts) == run("manifests").stdout.count("\nkind: ") - 1
