"""The server of a campaign."""

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

from medici_py.embedded import EmbeddedMongo

GONE_WITHIN_SECS = 60.0


class KillableMongod:
    """A private server that can be killed, and started again with what is on its disk."""

    def __init__(self, mongo: EmbeddedMongo) -> None:
        assert mongo.pid is not None
        self.uri = mongo.uri
        self._pid = mongo.pid
        command = Path(f"/proc/{mongo.pid}/cmdline").read_bytes().split(b"\0")
        self._command = [part.decode() for part in command if part]
        self._restarted: subprocess.Popen[bytes] | None = None

    async def kill(self) -> None:
        """Kill it as a power cut would, and wait until it is gone."""
        os.kill(self._pid, signal.SIGKILL)
        if self._restarted is not None:
            await asyncio.to_thread(self._restarted.wait)
        deadline = time.monotonic() + GONE_WITHIN_SECS
        while Path(f"/proc/{self._pid}").exists():
            assert time.monotonic() < deadline, "the killed mongod is still there"
            await asyncio.sleep(0.01)

    def start(self) -> None:
        """Start it again; it ends with this process, whatever happens."""
        tied = ["setpriv", "--pdeathsig", "KILL", *self._command]
        self._restarted = subprocess.Popen(tied, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._pid = self._restarted.pid

    def stop(self) -> None:
        """End what was started here; the rest is the fixture's."""
        if self._restarted is not None:
            self._restarted.kill()
            self._restarted.wait()
