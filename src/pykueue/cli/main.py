"""The command line. Every verb is a thin line over a module that does the work; heavy imports wait until a verb needs them.

Exit codes: 0 done, 1 it failed, 2 wrong usage, 3 wrong configuration, 4 the address is in use, 5 the data directory is damaged or in use.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from pykueue import __version__
from pykueue.api.errors import AddressError, ConfigError, DataError, PykueueError

EXIT_FAILED, EXIT_CONFIG, EXIT_ADDRESS, EXIT_DATA = 1, 3, 4, 5


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="pykueue")
def cli() -> None:
    """Job queueing for Kubernetes: one group of pods is one Workload, admitted whole or not at all."""


@cli.command()
@click.option("-f", "--filename", "files", multiple=True, type=click.Path(exists=True, path_type=Path),
              help="Manifests to apply once the cluster is ready; a file or a folder, may be repeated.")  # fmt: skip
@click.option("--nodes", default="default", metavar="FILE|none|default",
              help="Emulated nodes: a file of manifests or short forms, 'none', or the default 2 blocks x 2 racks x 2 nodes.")  # fmt: skip
@click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Kueue's manager Configuration."
)
@click.option(
    "--feature-gates", default="", metavar="A=true,B=false", help="Feature gates, if the configuration names none."
)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=Path(".pykueue"), show_default=True,
              help="Folder that keeps the cluster's state and credentials.")  # fmt: skip
@click.option("--memory", is_flag=True, help="Keep nothing: the cluster is gone when the command ends.")
@click.option(
    "--port", default=6443, show_default=True, type=click.IntRange(0, 65535), help="Port on 127.0.0.1; 0 picks one."
)
@click.option("--kubeconfig", type=click.Path(dir_okay=False, path_type=Path),
              help="Where to write the administrator's kubeconfig. [default: DATA/kubeconfig]")  # fmt: skip
@click.option("-v", "--verbose", count=True, help="Log more; twice for debug.")
def up(**options: Any) -> None:
    """Start a whole cluster in this process: API server, nodes, controllers and the manager. Ctrl-C ends it."""
    from pykueue.cli.serve import UpOptions, serve

    _run(serve(UpOptions(**options)))


@cli.command()
@click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Kueue's manager Configuration."
)
@click.option("--kubeconfig", type=click.Path(dir_okay=False, path_type=Path),
              help="Which cluster. [default: in-cluster account, $KUBECONFIG, ~/.kube/config]")  # fmt: skip
@click.option(
    "--feature-gates", default="", metavar="A=true,B=false", help="Feature gates, if the configuration names none."
)
@click.option("--webhook-url", default="", metavar="URL",
              help="Register webhooks under this URL and not by Service, and the visibility API under its host: for a manager that "
                   "runs outside the cluster.")  # fmt: skip
@click.option("-v", "--verbose", count=True, help="Log more; twice for debug.")
def manager(**options: Any) -> None:
    """Run the manager against a Kubernetes API server."""
    from pykueue.cli.manage import ManagerFlags, manage

    _run(manage(ManagerFlags(**options)))


@cli.command()
@click.option("--namespace", default="kueue-system", show_default=True, help="Namespace of the manager.")
@click.option("--image", default="pykueue:latest", show_default=True, help="Image of the Deployment.")
@click.option("--only", type=click.Choice(["crds", "rbac", "webhooks", "visibility", "deployment"]), multiple=True,
              help="Print a part only; may be repeated.")  # fmt: skip
@click.option("--lean-workload-schema", is_flag=True,
              help="Let the API server keep the pod templates of Workloads without checking them: cheaper writes.")  # fmt: skip
@click.option("--without-v1beta1", is_flag=True,
              help="Leave the older version of our kinds out: the API server converts every change of them otherwise.")  # fmt: skip
def manifests(
    namespace: str, image: str, only: tuple[str, ...], lean_workload_schema: bool, without_v1beta1: bool
) -> None:
    """Print what a cluster needs: CRDs, RBAC, webhook configurations, APIServices, Deployment."""
    import yaml

    from pykueue.cli.manifests import manifests as build

    documents = build(
        namespace=namespace, image=image, only=only, is_lean=lean_workload_schema, has_v1beta1=not without_v1beta1
    )
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    yaml.dump_all(documents, sys.stdout, Dumper=dumper, sort_keys=False, explicit_start=True, width=120)


@cli.command()
@click.option("--fast", is_flag=True, help="Do not pause between the steps.")
def demo(fast: bool) -> None:
    """Show the main job on an embedded cluster: groups admitted whole, one that waits, and why. Ends by itself."""
    from pykueue.cli.demo import run_demo

    _run(run_demo(pause_s=0.0 if fast else 1.0))


class _Explainable(click.ParamType[str]):
    """A kind that can be explained, by any name that `kubectl` takes; the list is known where the work is done."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name in lower case."""
        from pykueue.cli.explain import SUBJECTS

        name = str(value).lower()
        if name not in SUBJECTS:
            self.fail(f"{value!r} is none of {', '.join(SUBJECTS)}", param, ctx)
        return name


_KUBECONFIG = click.option(
    "--kubeconfig", type=click.Path(dir_okay=False, path_type=Path),
    help="Which cluster. [default: in-cluster account, $KUBECONFIG, ~/.kube/config]",
)  # fmt: skip
_CONFIG = click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The manager's Configuration, if it is not the shipped one.",
)  # fmt: skip


@cli.command()
@click.argument("kind", type=_Explainable())
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of the object.")
@_KUBECONFIG
@_CONFIG
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(0), help="How many of a queue's Workloads are listed."
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the answer."
)
def explain(kind: str, name: str, **options: Any) -> None:
    """Tell why a Workload or a queue is where it is, and the smallest changes that would admit it.

    KIND is workload, localqueue, clusterqueue, pod, podgroup, or a kind of job (job, lws, statefulset, deployment); NAME may be
    NAMESPACE/NAME. Of a job all of its Workloads are explained: who is ahead, what is asked, free, borrowable, lent and held in each
    flavor, which rule says no, who was considered for preemption, when it was last tried and what wakes it. Each remedy is proved: the
    decision is made again with it, on a copy. Of a queue it is told who waits in which order, and why the first does not start.

    Nothing is written, and no manager is asked: it works wherever the API server can be read.
    """
    from pykueue.cli.explain import ExplainOptions
    from pykueue.cli.explain import explain as run_explain

    namespace, slash, bare = name.rpartition("/")
    if slash:
        options["namespace"] = namespace
    _run(run_explain(ExplainOptions(kind=kind, name=bare, **options)))


@cli.command()
@click.argument("name", default="")
@click.option(
    "--workload", default="", metavar="NAME", help="Mark the places of this Workload; NAME may be NAMESPACE/NAME."
)
@click.option("-n", "--namespace", default="default", show_default=True, help="Namespace of the Workload.")
@click.option(
    "--resource", default="", metavar="NAME", help="Colour by this resource. [default: the one that is used most]"
)
@click.option(
    "--levels",
    default=0,
    type=click.IntRange(0),
    metavar="N",
    help="Show the N widest levels of the table. [default: all]",
)
@_KUBECONFIG
@_CONFIG
@click.option("-o", "--output", type=click.Choice(["text", "json", "svg", "png"]), default="text", show_default=True,
              help="Form of the answer; png needs the extra: pip install 'pykueue[png]'.")  # fmt: skip
@click.option(
    "--file", type=click.Path(dir_okay=False, path_type=Path), help="Write it here. [default: the standard output]"
)
def topology(**options: Any) -> None:
    """Show what is free and used in each domain of a topology, by Workloads and by other pods.

    NAME is a Topology; without it all are shown, each on the nodes of every flavor that has it. As a picture (-o svg, -o png) the domains are nested
    boxes, coloured by how much of them is used. Nothing is written to the cluster.
    """
    from pykueue.cli.topology import TopologyOptions
    from pykueue.cli.topology import topology as run_topology

    if options["output"] == "png" and options["file"] is None and sys.stdout.isatty():
        raise click.UsageError("a PNG is not for the terminal: give --file FILE")
    _run(run_topology(TopologyOptions(**options)))


def _run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a verb; our errors become one line on stderr and an exit code."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(work)
    except ConfigError as error:
        click.echo(f"pykueue: {error.source} cannot be used:", err=True)
        for fault in error.faults:
            click.echo(f"  - {fault}", err=True)
        sys.exit(_exit_code(error))
    except PykueueError as error:
        click.echo(f"pykueue: {error}", err=True)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code or 0)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, where it runs; else asyncio's own loop, which does the same for more CPU (docs/decisions/0014)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _exit_code(error: ConfigError) -> int:
    match error:
        case AddressError():
            return EXIT_ADDRESS
        case DataError():
            return EXIT_DATA
        case _:
            return EXIT_CONFIG


def main() -> None:
    """Entry point of the `pykueue` script."""
    cli(prog_name="pykueue")


if __name__ == "__main__":
    main()
