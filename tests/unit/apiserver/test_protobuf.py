"""Protobuf bodies, as kubectl sends them."""

from __future__ import annotations

import struct

import pytest

from pykueue.apiserver.protobuf import decode_envelope


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes | str) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(data)) + data


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    return (
        b"k8s\x00" + block(1, block(1, api_version) + block(2, kind)) + block(2, message) + block(3, "") + block(4, "")
    )


def test_a_config_map() -> None:
    """Maps of text, maps of bytes as base64, empty text left out, a pointer to false kept."""
    meta = block(1, "a") + block(2, "") + block(3, "") + block(8, b"") + block(11, block(1, "l") + block(2, "v"))
    message = (
        block(1, meta)
        + block(2, block(1, "k") + block(2, ""))
        + block(3, block(1, "b") + block(2, b"\x00\xff"))
        + number(4, 0)
    )
    assert decode_envelope(envelope("v1", "ConfigMap", message)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "labels": {"l": "v"}},
        "data": {"k": ""},
        "binaryData": {"b": "AP8="},
        "immutable": False,
    }


def test_a_pod_with_inlined_structs() -> None:
    """Volume sources and probe handlers have no name of their own in JSON; quantities and ports have special forms."""
    volume = block(1, "v") + block(2, block(2, block(1, "Memory")))
    http_get = block(1, "/") + block(2, number(1, 0) + number(2, 8080))
    probe = block(1, block(2, http_get)) + number(2, 0) + number(3, 5)
    limits = block(8, block(1, block(1, "cpu") + block(2, block(1, "500m"))))
    container = block(1, "c") + block(2, "i") + limits + block(10, probe)
    message = block(1, block(1, "p")) + block(2, block(1, volume) + block(2, container) + number(4, 0))
    decoded = decode_envelope(envelope("v1", "Pod", message))
    assert decoded["spec"] == {
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
        "containers": [
            {
                "name": "c",
                "image": "i",
                "resources": {"limits": {"cpu": "500m"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": 8080}, "timeoutSeconds": 5},
            }
        ],
        "terminationGracePeriodSeconds": 0,
    }


def test_negative_numbers_times_and_maps_of_lists() -> None:
    """Two's complement, seconds since the epoch, and `extra` of a user."""
    status = block(1, block(4, block(1, "k") + block(2, block(1, "x") + block(1, "y"))))
    review = decode_envelope(envelope("authentication.k8s.io/v1", "SelfSubjectReview", block(2, status)))
    assert review["status"] == {"userInfo": {"extra": {"k": ["x", "y"]}}}
    meta = block(1, "pc") + block(8, number(1, 1_000_000_000))
    message = block(1, meta) + number(2, (1 << 64) - 5) + number(3, 0)
    made = decode_envelope(envelope("scheduling.k8s.io/v1", "PriorityClass", message))
    assert (made["value"], made["metadata"]["creationTimestamp"]) == (-5, "2001-09-09T01:46:40Z")


def test_unknown_fields_are_skipped() -> None:
    """Later versions of Kubernetes may send more: numbers, blocks and fixed sizes."""
    unknown = (
        number(900, 7)
        + block(901, b"x")
        + varint(902 << 3 | 1)
        + struct.pack("<d", 1.5)
        + varint(903 << 3 | 5)
        + b"1234"
    )
    assert decode_envelope(envelope("v1", "ConfigMap", unknown + block(1, block(1, "a"))))["metadata"] == {"name": "a"}


@pytest.mark.parametrize(
    ("body", "want"),
    [
        (b"{}", "magic number"),
        (envelope("example.com/v1", "Widget", b""), "Widget of example.com/v1 has no protobuf form here; send JSON"),
        (envelope("v1", "ConfigMap", block(1, b"abc")[:-1]), "ends in the middle of a field"),
        (envelope("v1", "ConfigMap", b"\x80"), "ends in the middle of a number"),
        (envelope("v1", "ConfigMap", b"\x0b"), "wire type 3 is not known"),
        (envelope("v1", "ConfigMap", number(1, 1)), "expected bytes, found a number"),
    ],
)
def test_bodies_that_cannot_be_decoded(body: bytes, want: str) -> None:
    """Each fault is a ValueError that says what is wrong."""
    with pytest.raises(ValueError, match=want):
        decode_envelope(body)
