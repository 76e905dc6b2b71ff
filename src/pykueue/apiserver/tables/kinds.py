"""Columns and rows of the remaining built-in kinds, and the table of all printers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pykueue.api.instant import Instant
from pykueue.api.objects import Obj, condition, controller_of, get_path, labels, metadata
from pykueue.apiserver.resources import Column
from pykueue.apiserver.tables import workloads as w
from pykueue.apiserver.tables.ages import since
from pykueue.apiserver.tables.pods import POD_COLUMNS, pod_cells
from pykueue.apiserver.tables.texts import NAME

_Cells: TypeAlias = Callable[[Obj, Instant], Sequence[Any]]
_NONE, _UNKNOWN = "<none>", "<unknown>"
_ROLE = "node-role.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class Printer:
    """Columns of one kind, and the function that fills them.

    Attributes:
        columns: after the name.
        cells: one per column.
        has_name: the columns have the name among them already.
    """

    columns: tuple[Column, ...]
    cells: _Cells
    has_name: bool = False


def _text(name: str, description: str = "", priority: int = 0) -> Column:
    return Column(name, "string", description=description, priority=priority)


def _node_cells(node: Obj, now: Instant) -> Sequence[Any]:
    ready = condition(node, "Ready")
    word = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    if get_path(node, "spec", "unschedulable"):
        word += ",SchedulingDisabled"
    roles = {key.removeprefix(_ROLE) for key in labels(node) if key.startswith(_ROLE) and key != _ROLE}
    if role := labels(node).get("kubernetes.io/role"):
        roles.add(role)
    info = get_path(node, "status", "nodeInfo") or {}
    addresses = {a.get("type"): a.get("address") for a in reversed(get_path(node, "status", "addresses") or ())}
    return (
        word,
        ",".join(sorted(roles)) or _NONE,
        w.age(node, now),
        info.get("kubeletVersion") or "",
        addresses.get("InternalIP") or _NONE,
        addresses.get("ExternalIP") or _NONE,
        info.get("osImage") or _UNKNOWN,
        info.get("kernelVersion") or _UNKNOWN,
        info.get("containerRuntimeVersion") or _UNKNOWN,
    )


def _service_cells(service: Obj, now: Instant) -> Sequence[Any]:
    spec = service.get("spec") or {}
    type_ = spec.get("type") or "ClusterIP"
    external = list(spec.get("externalIPs") or ())
    if type_ == "LoadBalancer":
        ingress = get_path(service, "status", "loadBalancer", "ingress") or ()
        external = [i.get("ip") or i.get("hostname") or "" for i in ingress] + external
        shown = ",".join(external) or "<pending>"
    else:
        shown = spec.get("externalName") or "" if type_ == "ExternalName" else ",".join(external) or _NONE
    ports = [
        f"{port.get('port')}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol') or 'TCP'}"
        for port in spec.get("ports") or ()
    ]
    address = _NONE if type_ == "ExternalName" else spec.get("clusterIP") or _NONE
    return (type_, address, shown, ",".join(ports) or _NONE, w.age(service, now), w.labels_text(spec.get("selector")))


def _event_cells(event: Obj, now: Instant) -> Sequence[Any]:
    """An Event in either of its forms (core/v1 or events.k8s.io/v1)."""
    about = event.get("involvedObject") or event.get("regarding") or {}
    source = event.get("source") or event.get("deprecatedSource") or {}
    series = event.get("series") or {}
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")
    last = event.get("lastTimestamp") or event.get("deprecatedLastTimestamp") or first
    count = event.get("count") or event.get("deprecatedCount") or 1
    if series:
        last, count = series.get("lastObservedTime") or last, series.get("count") or count
    kind = str(about.get("kind") or "").lower()
    component = source.get("component") or event.get("reportingComponent") or event.get("reportingController") or ""
    host = source.get("host") or ""
    return (
        since(last, now),
        event.get("type") or "",
        event.get("reason") or "",
        f"{kind}/{about.get('name')}" if about.get("name") else kind,
        about.get("fieldPath") or "",
        f"{component}, {host}" if host else component,
        str(event.get("message") or event.get("note") or "").strip(),
        since(first, now),
        str(count),
        metadata(event).get("name") or "",
    )


def _config_map_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    return (str(len(obj.get("data") or ()) + len(obj.get("binaryData") or ())), w.age(obj, now))


def _secret_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    return (obj.get("type") or "", str(len(obj.get("data") or ())), w.age(obj, now))


def _revision_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    owner = controller_of(obj)
    group = owner.api_version.rpartition("/")[0] if owner is not None else ""
    kind = owner.kind.lower() if owner is not None else ""
    shown = (
        f"{kind}.{group}/{owner.name}"
        if owner is not None and group
        else f"{kind}/{owner.name}"
        if owner is not None
        else _NONE
    )
    return (shown, str(obj.get("revision") or 0), w.age(obj, now))


def _priority_class_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    policy = obj.get("preemptionPolicy") or "PreemptLowerPriority"
    return (obj.get("value") or 0, bool(obj.get("globalDefault")), w.age(obj, now), policy)


def _budget_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    spec = obj.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    allowed = get_path(obj, "status", "disruptionsAllowed") or 0
    return ("N/A" if least is None else str(least), "N/A" if most is None else str(most), allowed, w.age(obj, now))


def _quota_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    status = obj.get("status") or {}
    used, hard = status.get("used") or {}, status.get("hard") or get_path(obj, "spec", "hard") or {}
    told = [(name, f"{name}: {used.get(name, '0')}/{hard[name]}") for name in sorted(hard)]
    requests = ", ".join(text for name, text in told if not name.startswith("limits."))
    limits = ", ".join(text for name, text in told if name.startswith("limits."))
    return (requests, limits, w.age(obj, now))


def _binding_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    role, subjects = obj.get("roleRef") or {}, obj.get("subjects") or ()
    by_kind: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in subjects:
        name = subject.get("name") or ""
        shown = f"{subject['namespace']}/{name}" if subject.get("namespace") else name
        by_kind.setdefault(subject.get("kind") or "", []).append(shown)
    told = (", ".join(by_kind[kind]) for kind in ("User", "Group", "ServiceAccount"))
    return (f"{role.get('kind') or ''}/{role.get('name') or ''}", w.age(obj, now), *told)


def _endpoints_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    found = [
        f"{address.get('ip')}:{port['port']}" if port else str(address.get("ip"))
        for subset in obj.get("subsets") or ()
        for port in subset.get("ports") or (None,)
        for address in subset.get("addresses") or ()
    ]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return ((",".join(found[:3]) + more) or _NONE, w.age(obj, now))


def _slice_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    ports = ",".join(str(port.get("port") or "*") for port in obj.get("ports") or ()) or "<unset>"
    found = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    more = f" + {len(found) - 3} more..." if len(found) > 3 else ""
    return (obj.get("addressType") or "", ports, (",".join(found[:3]) + more) or "<unset>", w.age(obj, now))


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(spec: Mapping[str, Any]) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in spec.get("accessModes") or ())


def _claim_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    phase = "Terminating" if metadata(obj).get("deletionTimestamp") else status.get("phase") or ""
    bound = bool(spec.get("volumeName"))
    return (
        phase,
        spec.get("volumeName") or "",
        (get_path(status, "capacity", "storage") or "") if bound else "",
        _modes(status) if bound else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        w.age(obj, now),
        spec.get("volumeMode") or "<unset>",
    )


def _volume_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef") or {}
    return (
        get_path(spec, "capacity", "storage") or "",
        _modes(spec),
        spec.get("persistentVolumeReclaimPolicy") or "",
        "Terminating" if metadata(obj).get("deletionTimestamp") else status.get("phase") or "",
        f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        status.get("reason") or "",
        w.age(obj, now),
        spec.get("volumeMode") or "<unset>",
    )


def _storage_class_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    return (
        obj.get("provisioner") or "",
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        "true" if obj.get("allowVolumeExpansion") else "false",
        w.age(obj, now),
    )


def _webhooks_cells(obj: Obj, now: Instant) -> Sequence[Any]:
    return (len(obj.get("webhooks") or ()), w.age(obj, now))


def _field_and_age(*path: str) -> _Cells:
    return lambda obj, now: (get_path(obj, *path) or "", w.age(obj, now))


_WEBHOOKS = Printer((Column("Webhooks", "integer", description="Webhooks indicates the number of webhooks registered in this configuration"), w.AGE), _webhooks_cells)  # fmt: skip
_BINDING = Printer(
    (_text("Role", "Reference to the role."), w.AGE, _text("Users", "Users in the binding", 1), _text("Groups", "Groups in the binding", 1), _text("ServiceAccounts", "ServiceAccounts in the binding", 1)),
    _binding_cells,
)  # fmt: skip
_EVENTS = Printer(
    (
        _text("Last Seen", "Time when this event was last observed"),
        _text("Type", "Type of this event (Normal, Warning), new types could be added in the future"),
        _text("Reason", "This should be a short, machine understandable string that gives the reason for the transition into the object's current status."),
        _text("Object", "The object that this event is about."),
        _text("Subobject", "If referring to a piece of an object instead of an entire object, this string is a valid JSON/Go field access statement.", 1),
        _text("Source", "The component reporting this event.", 1),
        _text("Message", "A human-readable description of the status of this operation."),
        _text("First Seen", "Time when this event was first observed.", 1),
        _text("Count", "The number of times this event has occurred.", 1),
        Column("Name", "string", description=NAME, format="name", priority=1),
    ),
    _event_cells,
    has_name=True,
)  # fmt: skip

PRINTERS: Mapping[tuple[str, str], Printer] = {
    ("", "pods"): Printer(POD_COLUMNS, pod_cells),
    ("", "nodes"): Printer(
        (_text("Status", "The status of the node"), _text("Roles", "The roles of the node"), w.AGE, _text("Version", "Kubelet Version reported by the node."), _text("Internal-IP", "Internal address of the node.", 1), _text("External-IP", "External address of the node.", 1), _text("OS-Image", "OS Image reported by the node.", 1), _text("Kernel-Version", "Kernel Version reported by the node.", 1), _text("Container-Runtime", "ContainerRuntime Version reported by the node.", 1)),
        _node_cells,
    ),
    ("", "namespaces"): Printer((_text("Status", "The status of the namespace"), w.AGE), _field_and_age("status", "phase")),
    ("", "services"): Printer(
        (_text("Type", "How the service is exposed."), _text("Cluster-IP", "The service's address inside of the cluster."), _text("External-IP", "The service's addresses outside of the cluster."), _text("Port(s)", "The ports that are exposed by this service."), w.AGE, _text("Selector", "Labels of the pods that the traffic goes to.", 1)),
        _service_cells,
    ),
    ("", "events"): _EVENTS,
    ("events.k8s.io", "events"): _EVENTS,
    ("", "configmaps"): Printer((_text("Data", "Data contains the configuration data."), w.AGE), _config_map_cells),
    ("", "secrets"): Printer((_text("Type", "Used to facilitate programmatic handling of secret data."), _text("Data", "Number of values."), w.AGE), _secret_cells),
    ("", "serviceaccounts"): Printer((w.AGE,), lambda obj, now: (w.age(obj, now),)),
    ("", "resourcequotas"): Printer((_text("Request", "Used and allowed requests."), _text("Limit", "Used and allowed limits."), w.AGE), _quota_cells),
    ("", "podtemplates"): Printer(w.POD_TEMPLATE_COLUMNS, w.pod_template_cells),
    ("", "endpoints"): Printer((_text("Endpoints", "Addresses and ports."), w.AGE), _endpoints_cells),
    ("", "persistentvolumeclaims"): Printer(
        (_text("Status"), _text("Volume"), _text("Capacity"), _text("Access Modes"), _text("StorageClass"), _text("VolumeAttributesClass"), w.AGE, _text("VolumeMode", priority=1)),
        _claim_cells,
    ),
    ("", "persistentvolumes"): Printer(
        (_text("Capacity"), _text("Access Modes"), _text("Reclaim Policy"), _text("Status"), _text("Claim"), _text("StorageClass"), _text("VolumeAttributesClass"), _text("Reason"), w.AGE, _text("VolumeMode", priority=1)),
        _volume_cells,
    ),
    ("apps", "statefulsets"): Printer(w.STATEFUL_SET_COLUMNS, w.stateful_set_cells),
    ("apps", "deployments"): Printer(w.DEPLOYMENT_COLUMNS, w.deployment_cells),
    ("apps", "replicasets"): Printer(w.REPLICA_SET_COLUMNS, w.replica_set_cells),
    ("apps", "daemonsets"): Printer(w.DAEMON_SET_COLUMNS, w.daemon_set_cells),
    ("apps", "controllerrevisions"): Printer((_text("Controller", "Controller of the object"), _text("Revision", "Revision indicates the revision of the state represented by Data."), w.AGE), _revision_cells),
    ("batch", "jobs"): Printer(w.JOB_COLUMNS, w.job_cells),
    ("batch", "cronjobs"): Printer(w.CRON_JOB_COLUMNS, w.cron_job_cells),
    ("coordination.k8s.io", "leases"): Printer((_text("Holder", "holderIdentity contains the identity of the holder of a current lease."), w.AGE), _field_and_age("spec", "holderIdentity")),
    ("scheduling.k8s.io", "priorityclasses"): Printer(
        (Column("Value", "integer", description="The integer value of this priority class."), Column("Global-Default", "boolean", description="Whether this is the default priority of pods without a class."), w.AGE, _text("PreemptionPolicy", "Whether pods of this class may preempt others.")),
        _priority_class_cells,
    ),
    ("node.k8s.io", "runtimeclasses"): Printer((_text("Handler", "The underlying runtime and configuration that the CRI implementation will use."), w.AGE), _field_and_age("handler")),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"): _WEBHOOKS,
    ("rbac.authorization.k8s.io", "rolebindings"): _BINDING,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _BINDING,
    ("storage.k8s.io", "storageclasses"): Printer(
        (_text("Provisioner", "Provisioner indicates the type of the provisioner."), _text("ReclaimPolicy", "What happens to volumes of this class when they are released."), _text("VolumeBindingMode", "When volumes are bound."), _text("AllowVolumeExpansion", "Whether volumes may grow."), w.AGE),
        _storage_class_cells,
    ),
    ("policy", "poddisruptionbudgets"): Printer(
        (_text("Min Available", "The minimum number of pods that must be available."), _text("Max Unavailable", "The maximum number of pods that may be unavailable."), Column("Allowed Disruptions", "integer", description="Calculated number of pods that may be disrupted at this time."), w.AGE),
        _budget_cells,
    ),
    ("discovery.k8s.io", "endpointslices"): Printer((_text("AddressType", "The type of address carried by this slice."), _text("Ports", "The ports of the endpoints."), _text("Endpoints", "Addresses of the endpoints."), w.AGE), _slice_cells),
}  # fmt: skip
