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
    "visibility_server": "there is no visibility server on its own port",
}
"""Path of the field in `types.py` to the reason."""


def unsupported(config: Configuration) -> list[str]:
    """One sentence for each field or framework that is set and has no effect, by path."""
    default = Configuration()
    warnings = [
        f"{_wire_path(path)} has no effect: {reason}"
        for path, reason in _WITHOUT_EFFECT.items()
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
