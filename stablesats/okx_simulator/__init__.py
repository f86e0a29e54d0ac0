"""A simulated OKX: an HTTP server that real OKX REST clients can talk to.

It keeps one trading account with a cross-margined, net-mode ``BTC-USD-SWAP`` position, fills market
orders at a fixed or replayed price, and misbehaves on demand.
"""

from stablesats.okx_simulator.config import SimulatorConfig
from stablesats.okx_simulator.errors import (
    AdminRequestError,
    PriceFileError,
    SimulatorError,
    SimulatorStartError,
)
from stablesats.okx_simulator.faults import (
    AnswerStatus,
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    Fault,
    FaultScript,
    HideOrder,
    NotJson,
    ScriptedFault,
)
from stablesats.okx_simulator.instrument import BTC_USD_SWAP, Instrument
from stablesats.okx_simulator.price_files import load_quotes
from stablesats.okx_simulator.replay import PriceReplay, Quote, ReplayClock
from stablesats.okx_simulator.server import OkxSimulator, serve

__all__ = [
    "BTC_USD_SWAP",
    "AdminRequestError",
    "AnswerStatus",
    "DelayAnswer",
    "DelayRequest",
    "DropAfter",
    "DropBefore",
    "Fault",
    "FaultScript",
    "HideOrder",
    "Instrument",
    "NotJson",
    "OkxSimulator",
    "PriceFileError",
    "PriceReplay",
    "Quote",
    "ReplayClock",
    "ScriptedFault",
    "SimulatorConfig",
    "SimulatorError",
    "SimulatorStartError",
    "load_quotes",
    "serve",
]
