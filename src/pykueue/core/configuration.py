"""The configuration in force: file, feature gates and validation together (spec: config.md §1, §5).

Decoding is in `api.configuration`, the registry of gates in `core.features`; this is where both meet, in Kueue's order: file,
defaults, conversion, gates, validation. Nothing here reads a file; the shell does.
"""

from __future__ import annotations

from msgspec.structs import replace

from pykueue.api.configuration.load import DEFAULT_NAMESPACE, decode, parse_gates_flag
from pykueue.api.configuration.types import Configuration
from pykueue.api.configuration.validate import validate
from pykueue.api.errors import ConfigError
from pykueue.api.fields import invalid
from pykueue.core.features import Features, Gate, parse_features


def load(
    text: str = "", source: str = "defaults", *, feature_gates: str = "", namespace: str = DEFAULT_NAMESPACE
) -> tuple[Configuration, Features]:
    """Read a configuration.

    Args:
        text: content of the file (either version); empty for the defaults.
        source: what to call it in errors.
        feature_gates: the flag, `A=true,B=false`; only if the file names no gates.
        namespace: where the manager runs, for a file that does not say.

    Returns:
        the effective configuration and the gates in force.

    Raises:
        ConfigError: the text is not a valid configuration; every fault is listed.
    """
    config, faults = decode(text, namespace=namespace)
    flag, flag_faults = parse_gates_flag(feature_gates)
    if flag_faults:
        raise ConfigError("--feature-gates", flag_faults)
    if flag and config.feature_gates:
        both = "feature gates for CLI and configuration cannot both specified"
        faults.append(str(invalid("featureGates", dict(config.feature_gates), both)))
    if faults:
        raise ConfigError(source, faults)
    features, gate_faults = parse_features(flag or config.feature_gates)
    if features[Gate.DISABLE_WAIT_FOR_PODS_READY]:
        config = replace(config, wait_for_pods_ready=None)
    errors = validate(config, lambda name: features[Gate(name)])
    faults = [*gate_faults, *dict.fromkeys(map(str, errors))]
    if faults:
        raise ConfigError(source if errors or not flag else "--feature-gates", faults)
    return config, features
