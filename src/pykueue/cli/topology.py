"""`pykueue topology`: what is free and used in each domain, as a table, as JSON, or as a picture.

The facts are the engine's (`core/explain/domains.py`), asked of a snapshot (`cli/snapshot.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from pykueue.api.errors import ConfigError, NotFound
from pykueue.api.kinds import WORKLOAD
from pykueue.cli.snapshot import connect, take_snapshot
from pykueue.core.explain.facts import DomainFacts, Facts, TopologyFacts
from pykueue.ports.transport import Transport
from pykueue.views.scene import Scene, stacked
from pykueue.views.topology_picture import topology_picture
from pykueue.views.topology_table import topology_table


@dataclass(frozen=True, slots=True)
class TopologyOptions:
    """Flags of `pykueue topology`; see its help."""

    name: str = ""
    workload: str = ""
    namespace: str = "default"
    resource: str = ""
    levels: int = 0
    kubeconfig: Path | None = None
    config: Path | None = None
    output: str = "text"
    file: Path | None = None


class Shown(Facts, frozen=True):
    """The JSON of `pykueue topology -o json`.

    Attributes:
        version: of this shape; it changes only if a field goes or changes its meaning.
        topologies: one for each flavor that has a topology.
    """

    topologies: tuple[TopologyFacts, ...]
    version: str = "v1"


async def topology(options: TopologyOptions) -> int:
    """Print or write what was asked for; 0 if there was a topology.

    Raises:
        NotFound: there is no such topology, or no such Workload.
        ConfigError: no domain has the resource, or the file cannot be written.
        PykueueError: the cluster cannot be reached, or the configuration is wrong.
    """
    transport = connect(options.kubeconfig)
    try:
        found = await topologies(transport, options)
    finally:
        await transport.close()
    match options.output:
        case "json":
            _put(options, msgspec.json.format(msgspec.json.encode(Shown(found))) + b"\n")
        case "svg":
            from pykueue.views.svg import svg

            _put(options, svg(_picture(found, options)).encode())
        case "png":
            from pykueue.views.png import png

            _put(options, png(_picture(found, options)))
        case _:
            tables = (topology_table(facts, workload=_workload(options), n_levels=options.levels) for facts in found)
            _put(options, ("\n\n".join(tables) + "\n").encode())
    return 0


async def topologies(transport: Transport, options: TopologyOptions) -> tuple[TopologyFacts, ...]:
    """The facts that were asked for.

    Raises:
        NotFound: there is no such topology, no flavor that has it, or no such Workload.
        ConfigError: no domain has the resource.
    """
    snapshot = await take_snapshot(transport, options.config)
    found = snapshot.engine.explainer(snapshot.now).topologies_of(options.name)
    if not found:
        raise NotFound(f"no ResourceFlavor has {f'the Topology {options.name}' if options.name else 'a Topology'}")
    known = dict.fromkeys(name for facts in found for name in facts.resources)
    if options.resource and options.resource not in known:
        raise ConfigError("--resource", [f"{options.resource!r} is none of {', '.join(known)}"])
    if options.workload:
        namespace, _, name = _workload(options).partition("/")
        if snapshot.reader.get(WORKLOAD, namespace, name) is None:
            raise NotFound(f"Workload {namespace}/{name} was not found")
        if not any(_has(domain, f"{namespace}/{name}") for facts in found for domain in facts.domains):
            raise NotFound(f"Workload {namespace}/{name} has no place in a topology")
    return found


def _workload(options: TopologyOptions) -> str:
    if not options.workload or "/" in options.workload:
        return options.workload
    return f"{options.namespace}/{options.workload}"


def _has(domain: DomainFacts, workload: str) -> bool:
    return any(placed.workload == workload for placed in domain.workloads)


def _picture(found: Sequence[TopologyFacts], options: TopologyOptions) -> Scene:
    return stacked(list(_pictures(found, options)))


def _pictures(found: Sequence[TopologyFacts], options: TopologyOptions) -> Iterator[Scene]:
    for facts in found:
        yield topology_picture(facts, resource=options.resource, workload=_workload(options))


def _put(options: TopologyOptions, content: bytes) -> None:
    if options.file is None:
        click.echo(content, nl=False)
        return
    try:
        options.file.write_bytes(content)
    except OSError as error:
        raise ConfigError(str(options.file), [f"cannot be written: {error.strerror}"]) from error
    click.echo(f"{options.file}: {len(content)} bytes", err=True)
