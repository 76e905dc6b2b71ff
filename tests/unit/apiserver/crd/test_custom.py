"""Custom resources: the same objects as a real API server was given, with its answers."""

import json
from pathlib import Path

import pytest

from pykueue.api.errors import BadRequest, invalid
from pykueue.api.instant import Instant
from pykueue.apiserver.crd import resources_of
from pykueue.apiserver.strategy import Context

HERE = Path(__file__).parent
DEFINITION = json.loads((HERE / "things.json").read_text())
ANSWERS = json.loads((HERE / "answers.json").read_text())
CONTEXT = Context(Instant(0), lookup=None)
(THING,) = resources_of(DEFINITION)


def thing(spec, **more):
    meta = {"name": "t", "namespace": "default"}
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": meta, "spec": spec, **more}


def validate(obj, old=None):
    errors = THING.strategy.validate(obj, old, "", CONTEXT)
    return invalid("example.com", "Thing", "t", errors).message if errors else ""


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: json.dumps(answer["spec"]))
def test_answers_as_a_real_server(answer):
    """Every object is stored, refused or reported as kube-apiserver 1.36 did, to the letter."""
    obj, unknown = THING.decode(thing(answer["spec"]))
    if answer["code"] == 400:
        assert answer["message"].endswith(
            "strict decoding error: " + ", ".join(f'unknown field "{p}"' for p in unknown)
        )
        return
    obj = THING.strategy.default(obj)
    got = validate(obj)
    assert got == answer.get("message", "")
    if answer["code"] == 201:
        assert obj["spec"] == answer["stored"]


def test_transition_rule():
    """A rule that names oldSelf runs on updates alone."""
    assert validate(thing({"req": "x", "imm": "a"})) == ""
    got = validate(thing({"req": "x", "imm": "b"}), thing({"req": "x", "imm": "a"}))
    assert got == 'Thing.example.com "t" is invalid: spec.imm: Invalid value: "b": imm is immutable'


@pytest.mark.parametrize(
    ("old", "new", "want_faulty"),
    [
        ({"req": "x", "int": 99}, {"req": "y", "int": 99}, False),
        ({"req": "x", "int": 99}, {"req": "x", "int": 98}, True),
        ({}, {"bool": True}, True),
        ({"req": "x", "map": [{"name": "a", "port": "bad"}]}, {"req": "y", "map": [{"name": "b"}, {"name": "a", "port": "bad"}]}, False),
        ({"req": "x", "set": [1]}, {"req": "x", "set": [1, "a"]}, True),
        ({"req": "x", "cel": {"a": 3, "b": 2}}, {"req": "y", "cel": {"a": 3, "b": 2}}, False),
    ],
    ids=["unchanged value", "changed value", "missing field of a changed object", "item found by its key", "item of a set", "rule"],
)  # fmt: skip
def test_ratcheting(old, new, want_faulty):
    """What was wrong before and did not change is forgiven."""
    assert bool(validate(thing(new), thing(old))) is want_faulty


def test_status_write_changes_nothing_else():
    """Through the status sub-resource neither spec, labels nor generation change."""
    old = thing({"req": "x"})
    old["metadata"] = {**old["metadata"], "generation": 3, "labels": {"a": "b"}}
    wanted = {**thing({"req": "changed"}, status={"n": 2}), "metadata": {"name": "t", "labels": {"c": "d"}}}
    got = THING.strategy.prepare_update(wanted, old, "status", CONTEXT)
    assert got == {**old, "status": {"n": 2}}


def test_decoding_shares_what_stays():
    """An object that needs no change is returned itself."""
    obj = THING.strategy.default(THING.decode(thing({"req": "x"}))[0])
    assert THING.decode(obj)[0] is obj
    assert THING.strategy.default(obj) is obj


def test_metadata_of_the_wrong_type():
    """Metadata is decoded as Kubernetes' own type."""
    obj = {**thing({"req": "x"}), "metadata": {"name": "t", "labels": {"a": 1}}}
    with pytest.raises(
        BadRequest, match=r"json: cannot unmarshal number into Go struct field ObjectMeta\.labels of type string"
    ):
        THING.decode(obj)
