"""What a configuration asks for and this release does not do: known fields that have no effect, told at start.

This list is the only place that knows. Whoever makes a field work removes its line here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pykueue.api.configuration.frameworks import FRAMEWORKS
from pykueue.api.configuration.types import Configuration, TLSOptions

_WITHOUT_EFFECT: Mapping[str, str] = {
    "pprof_bind_address": "there is no Go profile to serve",
    "controller.group_kind_concurrency": "all reconcilers share one loop, which has no workers to share out",
    "tls.curve_preferences": "curves are those of the Python runtime's OpenSSL",
    "metrics.custom_labels": "metrics have their standard labels only",
    "multi_kueue": "MultiKueue is not part of this release",
    "integrations.external_frameworks": "owners of external kinds are not searched",
    "resources.device_class_mappings": "dynamic resource allocation is not part of this release",
}
"""Path of the field in `types.py` to the reason."""
_IN_ONE_PROCESS: Mapping[str, str] = {
    "webhook": "the embedded cluster calls webhooks in its own process",
    "internal_cert_management": "the embedded cluster calls webhooks in its own process",
    "tls": "the manager of the embedded cluster serves nothing",
    "metrics": "the embedded cluster serves no metrics",
    "health": "the manager of the embedded cluster serves nothing",
    "leader_election": "the embedded cluster has one manager",
    "visibility_server": "the embedded cluster's API server serves the visibility API itself",
    "client_connection": "the embedded cluster's manager asks its API server without a network between them",
}
"""As above: fields that have an effect beside a real API server alone."""


def unsupported(config: Configuration, *, embedded: bool = False) -> list[str]:
    """One sentence for each field or framework that is set and has no effect, by path.

    Args:
        config: what is asked for.
        embedded: whether it is for the embedded cluster, where some fields more have none.
    """
    default = Configuration()
    reasons = dict(_WITHOUT_EFFECT)
    if embedded:
        kept = {path: why for path, why in reasons.items() if path.partition(".")[0] not in _IN_ONE_PROCESS}
        reasons = {**_IN_ONE_PROCESS, **kept}
    warnings = [
        f"{_wire_path(path)} has no effect: {reason}"
        for path, reason in reasons.items()
        if _at(config, path) != _at(default, path)
    ]
    warnings += [
        f"integrations.frameworks: {name} is known but its jobs are not managed in this release"
        for name in config.integrations.frameworks
        if name in FRAMEWORKS and not FRAMEWORKS[name].supported
    ]
    return warnings


def _at(value: object, path: str) -> object:
    """The value at a path; a part that is absent says what its defaults say."""
    for step in path.split("."):
        value = getattr(value if value is not None else TLSOptions(), step)
    return value


def _wire_path(path: str) -> str:
    steps: list[str] = []
    struct: object = Configuration(tls=TLSOptions())
    for step in path.split("."):
        assert isinstance(struct, msgspec.Struct)
        names = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
        steps.append(names[step].removesuffix("Us"))
        struct = getattr(struct, step)
    return ".".join(steps)
