"""The demonstration: a recorded day of prices and payments, run through every part of the system at speed.

The parts are the real ones, each in a process of its own: a MongoDB replica set, the OKX simulator, the
hedging engine and the exporter. The demo only feeds trades in, watches, and at the end checks what the
database and the exchange say.
"""

from stablesats.demo.run import run_demo
from stablesats.demo.settings import DemoSettings

__all__ = ["DemoSettings", "run_demo"]
