"""The process around the manager."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from pykueue.cli.manage import heed_signals


def test_signals(caplog: pytest.LogCaptureFixture) -> None:
    """Who asks for a dump is told where to find the same; SIGTERM ends."""

    async def ask() -> None:
        stopped = asyncio.Event()
        heed_signals(stopped.set)
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGTERM)
        await stopped.wait()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
            asyncio.get_running_loop().remove_signal_handler(number)

    asyncio.run(ask())
    assert "pykueue explain clusterqueue" in caplog.text
