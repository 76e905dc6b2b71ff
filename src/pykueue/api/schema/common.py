"""Nodes that several kinds share (spec: api.md §0)."""

from __future__ import annotations

from typing import Any

from pykueue.api.schema.dsl import (
    Node,
    Rule,
    choice,
    int32,
    int64,
    int_or_string,
    listing,
    mapping,
    obj,
    string,
    time,
)

SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_63 = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
LABEL_KEY = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
IMMUTABLE: Rule = ("field is immutable", "self == oldSelf")
UNIQUE: Rule = ("must be unique", "size(self.filter(i, size(self.filter(j, j == i)) > 1)) == 0")
_EFFECTS = "supported taint effect values: 'NoSchedule', 'PreferNoSchedule', 'NoExecute'"


def subdomain(text: str, *rules: Rule, at_least: int | None = None) -> Node:
    """The name of an object, as a DNS subdomain."""
    return string(text, *rules, at_least=at_least, at_most=253, pattern=SUBDOMAIN)


def label_63(text: str, **extra: Any) -> Node:
    """A DNS label."""
    return string(text, at_most=63, pattern=LABEL_63, **extra)


def quantity(text: str = "amount of the resource", **extra: Any) -> Node:
    """A quantity; the schema lets negative ones pass, the webhooks refuse them."""
    return int_or_string(text, pattern=QUANTITY, **extra)


def conditions(at_most: int | None = 16) -> Node:
    """`status.conditions`, a list map by type."""
    return listing(
        "latest observations of the object's state",
        obj(
            "one aspect of the state",
            {
                "type!": string("name of the aspect", at_most=316, pattern=LABEL_KEY),
                "status!": choice("whether it holds", "True", "False", "Unknown"),
                "reason!": string(
                    "why, in one CamelCase word",
                    at_least=1,
                    at_most=1024,
                    pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                ),
                "message!": string("why, for people", at_most=32768),
                "lastTransitionTime!": time("when the status last changed"),
                "observedGeneration": int64("generation of the object that this was observed of", minimum=0),
            },
        ),
        keys=["type"],
        at_most=at_most,
    )


def selector(text: str) -> Node:
    """A `metav1.LabelSelector`."""
    strings = string()
    return obj(
        text,
        {
            "matchLabels": mapping("labels with exactly these values", strings),
            "matchExpressions": listing(
                "requirements that hold together",
                obj(
                    "one requirement",
                    {
                        "key!": string("label key"),
                        "operator!": string("In, NotIn, Exists or DoesNotExist"),
                        "values": listing("values for In and NotIn", strings),
                    },
                ),
            ),
        },
        **{"x-kubernetes-map-type": "atomic"},
    )


def taints(*, checked: bool) -> Node:
    """core/v1 taints, at most 8; `checked` adds the rule on their effect."""
    node = obj(
        "a taint that keeps pods without a matching toleration away",
        {
            "key!": string("taint key"),
            "value": string("taint value"),
            "effect!": string("NoSchedule, PreferNoSchedule or NoExecute"),
            "timeAdded": time("when a NoExecute taint was added"),
        },
    )
    rule: Rule = (_EFFECTS, "self.all(x, x.effect in ['NoSchedule', 'PreferNoSchedule', 'NoExecute'])")
    return listing("taints of the nodes", node, *([rule] if checked else []), at_most=8)


def tolerations(text: str) -> Node:
    """core/v1 tolerations, at most 8, with Kueue's five rules (spec: api.md §5)."""
    node = obj(
        "a taint that pods tolerate",
        {
            "key": string("taint key; empty matches all"),
            "operator": string("Equal (the default) or Exists"),
            "value": string("taint value"),
            "effect": string("NoSchedule, PreferNoSchedule or NoExecute; empty matches all"),
            "tolerationSeconds": int64("how long a NoExecute taint is tolerated; absent: for ever"),
        },
    )
    return listing(
        text,
        node,
        (
            "operator must be Exists when 'key' is empty, which means 'match all values and all keys'",
            "self.all(x, !has(x.key) ? x.operator == 'Exists' : true)",
        ),
        (
            "effect must be 'NoExecute' when 'tolerationSeconds' is set",
            "self.all(x, has(x.tolerationSeconds) ? x.effect == 'NoExecute' : true)",
        ),
        (
            "supported toleration values: 'Equal'(default), 'Exists'",
            "self.all(x, !has(x.operator) || x.operator in ['Equal', 'Exists'])",
        ),
        (
            "a value must be empty when 'operator' is 'Exists'",
            "self.all(x, has(x.operator) && x.operator == 'Exists' ? !has(x.value) : true)",
        ),
        (
            _EFFECTS,
            "self.all(x, !has(x.effect) || x.effect in ['NoSchedule', 'PreferNoSchedule', 'NoExecute'])",
        ),
        at_most=8,
    )


def stop_policy() -> Node:
    """`spec.stopPolicy` of the queues."""
    text = "Hold stops new reservations; HoldAndDrain evicts the admitted workloads as well"
    return choice(text, "None", "Hold", "HoldAndDrain", default="None")


def count32(text: str) -> Node:
    """A number of things, not negative."""
    return int32(text, minimum=0)
