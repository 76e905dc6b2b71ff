"""`pykueue up`: an embedded cluster in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import click

from pykueue.apiserver.tls import write_kubeconfig
from pykueue.cli import logs
from pykueue.cli.cluster import EmbeddedCluster, UpOptions

__all__ = ["UpOptions", "serve"]


async def serve(options: UpOptions) -> int:
    """Run until SIGINT or SIGTERM.

    Raises:
        ConfigError: something given cannot be used; nothing was started.
    """
    logs.set_up(options.verbose)
    began = time.monotonic()
    async with EmbeddedCluster.start(options, lambda text: click.echo(f"  {text} ...", err=True)) as cluster:
        path = options.kubeconfig or (Path("pykueue.kubeconfig") if options.memory else options.data / "kubeconfig")
        write_kubeconfig(path, cluster.kubeconfig)
        for warning in cluster.warnings:
            click.echo(f"warning: {warning}", err=True)
        kept = "in memory: all is gone when this ends" if options.memory else f"kept in {options.data}"
        click.echo(
            f"Ready after {time.monotonic() - began:.1f} s at {cluster.url} ({cluster.n_nodes} nodes; state {kept})."
        )
        click.echo(f"\n    export KUBECONFIG={path.absolute()}\n    kubectl get nodes\n\nCtrl-C ends it.")
        await _until_told(cluster)
        click.echo("Stopping ...", err=True)
    return 0


async def _until_told(cluster: EmbeddedCluster) -> None:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    ended = asyncio.create_task(cluster.wait())
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait((ended, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if ended.done():
        ended.result()
    ended.cancel()
