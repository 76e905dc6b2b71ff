"""Which resources are served: `Resource` values and the registry that holds them.

One `Resource` is one kind in one version. Versions of one kind share a `storage` name and convert through the kind's storage
version; core/v1 and events.k8s.io/v1 Events do the same. The registry changes at run time, when CustomResourceDefinitions
come and go; whoever caches something derived from it (discovery, OpenAPI) compares `revision`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from pykueue.api.kinds import Kind
from pykueue.api.objects import Obj, get_path
from pykueue.apiserver.strategy import Strategy

if TYPE_CHECKING:
    from pykueue.apiserver.schema.types import Schema

Converter: TypeAlias = Callable[[Obj, str], Obj]
"""`(object, wanted apiVersion) -> object` between the versions of one kind; pure; keeps metadata."""

Decoder: TypeAlias = Callable[[Obj], tuple[Obj, Sequence[str]]]
"""`object -> (object without unknown fields, their paths such as 'spec.foo')`."""

SelectableField: TypeAlias = Callable[[Obj], str]
"""The value of one field as field selectors compare it; the empty string if it is absent."""

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the `scale` sub-resource finds its numbers: dotted paths without a leading dot.

    Attributes:
        spec_replicas: for example `spec.replicas`.
        status_replicas: for example `status.replicas`.
        selector: path of a selector, either its text (custom resources) or a LabelSelector (built-in kinds); may be empty.
        kind: the group-version of the Scale that is served.
    """

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = ""
    kind: str = "autoscaling/v1"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a server-side table (`metav1.TableColumnDefinition`) with where its value comes from.

    Attributes:
        name: heading.
        type: `string`, `integer`, `number`, `boolean` or `date`.
        json_path: for example `.spec.replicas`; empty when the kind's own printer computes the cell.
        description: what the column says.
        format: `name` for the object's name, else mostly empty.
        priority: 0 is always shown; 1 only in wide output.
    """

    name: str
    type: str
    json_path: str = ""
    description: str = ""
    format: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Computed:
    """A sub-resource that is only read, and made anew whenever it is: nothing of it is stored.

    Attributes:
        name: the last part of its path.
        kind: of the answer; of the same group and version as the resource that it belongs to.
        schema: of the answer.
        parameters: name and type of each query parameter.
        answer: `(namespace, name, query) -> the encoded object`; raises an `ApiError` to refuse.
    """

    name: str
    kind: Kind
    schema: Schema
    parameters: tuple[tuple[str, str], ...]
    answer: Callable[[str, str, Mapping[str, str]], bytes]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind in one served version.

    Attributes:
        kind: what is served.
        strategy: what is special about it.
        singular: for discovery; lower-case kind if empty.
        short_names: for kubectl.
        categories: for kubectl (`all`).
        verbs: of the object itself; none for one that has nothing but computed sub-resources.
        subresources: any of `status`, `scale`, `binding`, `eviction`, `finalize`; the core refuses others.
        computed: sub-resources that are made when they are asked for.
        scale: paths of the `scale` sub-resource, if it is served.
        schema: structural schema of this version; None for kinds stored as they come.
        decode: drops and reports unknown fields; None to keep all.
        storage: name under which all versions of the kind are stored; `plural[.group]` if empty.
        storage_kind: the version that is stored; `kind` itself if None.
        convert: between this kind's versions; None when there is only one.
        columns: printer columns of a custom resource; None for kinds whose table `tables.py` builds (or the generic one).
        fields: selectable fields besides `metadata.name` and `metadata.namespace`.
        custom: defined by a CustomResourceDefinition: no strategic merge patch, other rules for status metadata.
        deprecation: sentence for the Warning header when this version is used; empty for none.
        version_priority: order of versions in discovery, higher first; equal ones as Kubernetes compares version names.
    """

    kind: Kind
    strategy: Strategy = field(default_factory=Strategy)
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[str, ...] = ()
    computed: tuple[Computed, ...] = ()
    scale: ScalePaths | None = None
    schema: Schema | None = None
    decode: Decoder | None = None
    storage: str = ""
    storage_kind: Kind | None = None
    convert: Converter | None = None
    columns: tuple[Column, ...] | None = None
    fields: Mapping[str, SelectableField] = field(default_factory=dict)
    custom: bool = False
    deprecation: str = ""
    version_priority: int = 0

    @property
    def stored_as(self) -> Kind:
        """The kind in its storage version."""
        return self.storage_kind or self.kind

    @property
    def storage_name(self) -> str:
        """The name of the storage that all versions share."""
        return self.storage or (f"{self.kind.plural}.{self.kind.group}" if self.kind.group else self.kind.plural)

    @property
    def qualified(self) -> str:
        """`plural.group`, or `plural`: what error messages say (`pods "x" not found`)."""
        return f"{self.kind.plural}.{self.kind.group}" if self.kind.group else self.kind.plural

    def computed_at(self, subresource: str) -> Computed | None:
        """The computed sub-resource of this name."""
        return next((one for one in self.computed if one.name == subresource), None)

    def to_storage(self, obj: Obj) -> Obj:
        """The object in the storage version."""
        return obj if self.convert is None else self.convert(obj, self.stored_as.api_version)

    def from_storage(self, obj: Obj) -> Obj:
        """A stored object in this resource's version."""
        return obj if self.convert is None else self.convert(obj, self.kind.api_version)


def field_at(path: str) -> SelectableField:
    """A selectable field read at a dotted path: strings as they are, booleans and integers as JSON writes them."""
    steps = tuple(path.strip(".").split("."))

    def read(obj: Obj) -> str:
        value = get_path(obj, *steps)
        if value is None:
            return ""
        return ("true" if value else "false") if isinstance(value, bool) else str(value)

    return read


class ResourceRegistry:
    """The mutable set of served resources."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self.revision = 0
        """Grows with every change."""

    def add(self, resource: Resource) -> None:
        """Serve a resource; one of the same group, version and plural is replaced."""
        self._by_path[resource.kind.group, resource.kind.version, resource.kind.plural] = resource
        self.revision += 1

    def remove(self, group: str, version: str, plural: str) -> None:
        """Serve a resource no longer; unknown ones are no error."""
        if self._by_path.pop((group, version, plural), None) is not None:
            self.revision += 1

    def get(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource at `/apis/<group>/<version>/<plural>`."""
        return self._by_path.get((group, version, plural))

    def for_kind(self, kind: Kind) -> Resource | None:
        """The resource that serves this kind in this version."""
        return self._by_path.get((kind.group, kind.version, kind.plural))

    def versions(self, group: str) -> list[str]:
        """Served versions of a group, preferred one first; empty for an unknown group."""
        priority: dict[str, int] = {}
        for resource in self:
            if resource.kind.group == group:
                version = resource.kind.version
                priority[version] = max(priority.get(version, 0), resource.version_priority)
        return sorted(priority, key=lambda version: (-priority[version], *version_order(version)))

    def __iter__(self) -> Iterator[Resource]:
        """All resources, ordered by group, version and plural."""
        return iter([self._by_path[path] for path in sorted(self._by_path)])


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sort key of Kubernetes' version comparison: GA before beta before alpha, newer first, others last by name."""
    digits = version.removeprefix("v")
    for stage_idx, stage in enumerate(("", "beta", "alpha")):
        major, _, minor = digits.partition(stage) if stage else (digits, "", "0")
        if digits != version and major.isdigit() and minor.isdigit():
            return (stage_idx, -int(major), -int(minor), "")
    return (3, 0, 0, version)
