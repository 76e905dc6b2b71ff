"""CustomResourceDefinitions: what is refused, what is established."""

import copy
import json
from pathlib import Path

import pytest

from pykueue.api.instant import Instant
from pykueue.api.kinds import CUSTOM_RESOURCE_DEFINITION
from pykueue.api.objects import condition
from pykueue.apiserver.crd import DefinitionStrategy, definition_resource
from pykueue.apiserver.strategy import Context

THINGS = json.loads((Path(__file__).parent / "things.json").read_text())
STRATEGY = DefinitionStrategy()


class Stored:
    """A lookup that knows a few definitions."""

    def __init__(self, *definitions):
        self.definitions = definitions

    def get(self, kind, namespace, name):
        return None

    def list(self, kind, namespace=""):
        return self.definitions if kind == CUSTOM_RESOURCE_DEFINITION else ()


def context(*definitions):
    return Context(Instant(0), Stored(*definitions))


def create(definition, *others):
    return STRATEGY.prepare_create(STRATEGY.default(definition), context(*others))


def errors_of(definition):
    return [str(error) for error in STRATEGY.validate(create(definition), None, "", context())]


def schema_of(definition):
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_a_good_definition_is_established_at_once():
    """Names are accepted and the definition is established in the write that creates it."""
    decoded, unknown = definition_resource().decode(THINGS)
    created = create(decoded)
    assert not unknown
    assert errors_of(decoded) == []
    assert condition(created, "Established")["status"] == "True"
    assert condition(created, "NamesAccepted")["reason"] == "NoConflicts"
    assert created["status"]["storedVersions"] == ["v1"]
    assert created["spec"]["names"]["listKind"] == "ThingList"
    assert created["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]


def test_names_in_use_are_not_accepted():
    """Another definition of the group has the short name already."""
    other = create({**THINGS, "metadata": {"name": "others.example.com"}})
    created = create(THINGS, other)
    assert condition(created, "NamesAccepted")["message"] == '"things" is already in use'
    assert condition(created, "Established")["status"] == "False"


@pytest.mark.parametrize(
    ("edit", "want"),
    [
        (lambda d: d["metadata"].update(name="x.example.com"), 'metadata.name: Invalid value: "x.example.com": must be spec.names.plural+"."+spec.group'),
        (lambda d: d["spec"].pop("scope"), "spec.scope: Required value"),
        (lambda d: d["spec"]["versions"][0].update(storage=False), 'spec.versions: Invalid value: ["v1"]: must have exactly one version marked as storage version'),
        (lambda d: schema_of(d)["properties"]["spec"].pop("type"), "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields"),
        (lambda d: schema_of(d)["properties"]["spec"]["properties"]["int"].update({"x-kubernetes-validations": [{"rule": "self.x == 1"}, {"rule": "self +"}]}), "compilation failed: ERROR: <input>:1:7: Syntax error: mismatched input '<EOF>' expecting an expression"),
        (lambda d: schema_of(d)["properties"]["spec"].update({"x-kubernetes-validations": [{"rule": "self.nope == 1"}]}), "compilation failed: ERROR: <input>:1:5: undefined field 'nope'"),
        (lambda d: schema_of(d)["properties"]["spec"]["properties"]["int"].update(default="x"), 'properties[int].default: Invalid value: "string": default in body must be of type integer'),
        (lambda d: d["spec"]["versions"][0].update(additionalPrinterColumns=[{"name": "A", "type": "text", "jsonPath": ".a"}]), 'additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string'),
        (lambda d: schema_of(d)["properties"]["spec"]["properties"]["map"]["items"].pop("required"), "items.properties[name].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"),
    ],
    ids=["name", "no scope", "no storage version", "not structural", "rule's syntax", "rule's fields", "bad default", "column type", "optional map key"],
)  # fmt: skip
def test_what_is_refused(edit, want):
    """Faults are told with their path."""
    definition = copy.deepcopy(THINGS)
    edit(definition)
    assert any(want in error for error in errors_of(definition)), errors_of(definition)


def test_identity_is_immutable():
    """Group, kind and plural of an established definition stay."""
    old = create(THINGS)
    new = copy.deepcopy(old)
    new["spec"]["names"]["kind"] = "Other"
    errors = [str(error) for error in STRATEGY.validate(new, old, "", context())]
    assert errors == ['spec.names.kind: Invalid value: "Other": field is immutable']
