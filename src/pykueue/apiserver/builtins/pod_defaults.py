"""Defaults of pod specs and pod templates, as Kubernetes' API server fills them in.

Pure and idempotent; an object that is complete already comes back as itself, which every update relies on for speed.

Source: Kubernetes API reference, PodSpec and Container; seen on a real API server.
"""

from __future__ import annotations

import re

from pykueue.apiserver.builtins.filling import Json, at, each, fill, without

_SPEC = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
}
_CONTAINER = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_HTTP_GET = {"path": "/", "scheme": "HTTP"}
_FILE_MODE = {"defaultMode": 420}
_VOLUME_SOURCES_WITH_MODE = ("secret", "configMap", "downwardAPI", "projected")
_OMITTED_IF_EMPTY = ("schedulingGates", "tolerations", "volumes", "initContainers", "nodeSelector", "imagePullSecrets")
_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")


def default_template(template: Json) -> Json:
    """A PodTemplateSpec with defaults."""
    template = fill(template, {"metadata": {}, "spec": {}})
    return at(template, "spec", default_pod_spec)


def default_pod(pod: Json) -> Json:
    """A Pod with defaults: those of templates, and some that templates leave open."""
    return at(fill(pod, {"spec": {}}), "spec", lambda spec: _default_own(default_pod_spec(spec)))


def default_pod_spec(spec: Json) -> Json:
    """A PodSpec with defaults; empty lists are the same as absent ones."""
    if empty := [name for name in _OMITTED_IF_EMPTY if name in spec and not spec[name]]:
        spec = without(spec, *empty)
    spec = fill(spec, _SPEC)
    for name in _CONTAINER_LISTS:
        spec = at(spec, name, _CONTAINERS)
    if spec.get("hostNetwork"):
        for name in ("containers", "initContainers"):
            spec = at(spec, name, each(lambda c: at(c, "ports", each(_host_port))))
    spec = at(spec, "volumes", _VOLUMES)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account and (spec.get("serviceAccount") != account or spec.get("serviceAccountName") != account):
        spec = {**spec, "serviceAccount": account, "serviceAccountName": account}
    return spec


def image_pull_policy(image: str) -> str:
    """`Always` for images without a tag or with `latest`, unless pinned by digest."""
    if "@" in image:
        return "IfNotPresent"
    tag = re.search(r":([^:/]+)$", image)
    return "Always" if tag is None or tag.group(1) == "latest" else "IfNotPresent"


def _default_own(spec: Json) -> Json:
    spec = fill(spec, {"enableServiceLinks": True})
    for name in ("containers", "initContainers"):
        spec = at(spec, name, each(lambda c: at(c, "resources", _requests_from_limits)))
    return at(spec, "resources", _requests_from_limits)


def _requests_from_limits(resources: Json) -> Json:
    """Requests that are not given are as large as the limits."""
    limits = resources.get("limits")
    if not limits:
        return resources
    requests = resources.get("requests") or {}
    missing = {name: amount for name, amount in limits.items() if name not in requests}
    return {**resources, "requests": {**requests, **missing}} if missing else resources


def _default_container(container: Json) -> Json:
    container = fill(container, _CONTAINER)
    if not container.get("imagePullPolicy"):
        container = {**container, "imagePullPolicy": image_pull_policy(str(container.get("image") or ""))}
    container = at(container, "ports", _PORTS)
    container = at(container, "env", _ENV)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        container = at(container, name, _default_probe)
    if "lifecycle" in container:
        container = at(container, "lifecycle", _default_lifecycle)
    return container


def _default_probe(probe: Json) -> Json:
    return at(at(fill(probe, _PROBE), "httpGet", _http_get), "grpc", lambda grpc: fill(grpc, {"service": ""}))


def _default_lifecycle(lifecycle: Json) -> Json:
    for name in ("postStart", "preStop"):
        lifecycle = at(lifecycle, name, lambda handler: at(handler, "httpGet", _http_get))
    return lifecycle


def _http_get(action: Json) -> Json:
    return fill(action, _HTTP_GET)


def _field_ref(owner: Json) -> Json:
    return at(owner, "fieldRef", lambda ref: fill(ref, {"apiVersion": "v1"}))


def _host_port(port: Json) -> Json:
    return fill(port, {"hostPort": port.get("containerPort")})


def _default_volume(volume: Json) -> Json:
    if not any(key != "name" and value is not None for key, value in volume.items()):
        return {**volume, "emptyDir": {}}
    for name in _VOLUME_SOURCES_WITH_MODE:
        volume = at(volume, name, lambda source: fill(source, _FILE_MODE))
    volume = at(volume, "hostPath", lambda source: fill(source, {"type": ""}))
    volume = at(volume, "downwardAPI", _downward)
    volume = at(volume, "projected", lambda source: at(source, "sources", each(_projection)))
    return at(volume, "ephemeral", lambda source: at(source, "volumeClaimTemplate", _claim_template))


def _downward(source: Json) -> Json:
    return at(source, "items", each(_field_ref))


def _projection(source: Json) -> Json:
    source = at(source, "serviceAccountToken", lambda token: fill(token, {"expirationSeconds": 3600}))
    return at(source, "downwardAPI", _downward)


def _claim_template(template: Json) -> Json:
    template = fill(template, {"metadata": {}})
    return at(template, "spec", lambda spec: fill(spec, {"volumeMode": "Filesystem"}))


_CONTAINERS = each(_default_container)
_PORTS = each(lambda port: fill(port, {"protocol": "TCP"}))
_ENV = each(lambda env: at(env, "valueFrom", _field_ref))
_VOLUMES = each(_default_volume)

__all__ = ["default_pod", "default_pod_spec", "default_template", "image_pull_policy"]
