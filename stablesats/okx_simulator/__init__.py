"""A simulated OKX: a server that real OKX clients can talk to, over REST and WebSocket.

It keeps one funding and one trading account with a cross-margined, net-mode ``BTC-USD-SWAP`` position,
fills orders from a made-up or replayed book, charges fees and funding, liquidates, and misbehaves on
demand.
"""

from stablesats.okx_simulator.addresses import BitcoinNetwork
from stablesats.okx_simulator.book import Book, BookShape, Level
from stablesats.okx_simulator.config import SimulatorConfig
from stablesats.okx_simulator.errors import (
    AdminRequestError,
    PriceFileError,
    SavedStateError,
    SimulatorError,
    SimulatorStartError,
)
from stablesats.okx_simulator.fault_script import FaultScript, RandomFault, ScriptedFault
from stablesats.okx_simulator.faults import (
    AnswerStatus,
    CloseStream,
    DelayAnswer,
    DelayRequest,
    DropAfter,
    DropBefore,
    DropPush,
    DuplicatePush,
    EmptyFields,
    Fault,
    GarbagePush,
    HideOrder,
    MalformedJson,
    NotJson,
    PartialFill,
    Refuse,
    ReorderPush,
    StaleAnswer,
)
from stablesats.okx_simulator.instrument import BTC_USD_SWAP, Instrument
from stablesats.okx_simulator.price_files import load_quotes, read_quotes
from stablesats.okx_simulator.replay import PriceReplay, Quote, ReplayClock
from stablesats.okx_simulator.server import OkxSimulator, serve

__all__ = [
    "BTC_USD_SWAP",
    "AdminRequestError",
    "AnswerStatus",
    "BitcoinNetwork",
    "Book",
    "BookShape",
    "CloseStream",
    "DelayAnswer",
    "DelayRequest",
    "DropAfter",
    "DropBefore",
    "DropPush",
    "DuplicatePush",
    "EmptyFields",
    "Fault",
    "FaultScript",
    "GarbagePush",
    "HideOrder",
    "Instrument",
    "Level",
    "MalformedJson",
    "NotJson",
    "OkxSimulator",
    "PartialFill",
    "PriceFileError",
    "PriceReplay",
    "Quote",
    "RandomFault",
    "Refuse",
    "ReorderPush",
    "ReplayClock",
    "SavedStateError",
    "ScriptedFault",
    "SimulatorConfig",
    "SimulatorError",
    "SimulatorStartError",
    "StaleAnswer",
    "load_quotes",
    "read_quotes",
    "serve",
]
