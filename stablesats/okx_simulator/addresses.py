"""Bitcoin addresses: which texts are one, and the deposit addresses that the exchange hands out.

The venue pays on the main chain only; test chains are for those who run one beside the simulator.

Source: BIP 173 (bech32), BIP 350 (bech32m), BIP 141 (witness versions); base58check as in Bitcoin Core.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_RESIDUE: Final = 1
_BECH32M_RESIDUE: Final = 0x2BC830A3
_MAX_CHARACTERS: Final = 90


class BitcoinNetwork(StrEnum):
    """Bitcoin and its test chains; an address belongs to one of them, or to both of the test chains."""

    MAIN = "main"
    TEST = "test"
    REGTEST = "regtest"


_PREFIXES: Final = {"bc": BitcoinNetwork.MAIN, "tb": BitcoinNetwork.TEST, "bcrt": BitcoinNetwork.REGTEST}
_TEST_CHAINS: Final = frozenset({BitcoinNetwork.TEST, BitcoinNetwork.REGTEST})
_VERSION_BYTES: Final = {
    0x00: frozenset({BitcoinNetwork.MAIN}),
    0x05: frozenset({BitcoinNetwork.MAIN}),
    0x6F: _TEST_CHAINS,
    0xC4: _TEST_CHAINS,
}


def is_bitcoin_address(text: str, networks: Collection[BitcoinNetwork] = (BitcoinNetwork.MAIN,)) -> bool:
    """Tell whether *text* is an address of one of *networks*, checksum included."""
    if not 14 <= len(text) <= _MAX_CHARACTERS:
        return False
    prefix, _, data = text.lower().rpartition("1")
    if prefix in _PREFIXES:
        is_one_case = text in (text.lower(), text.upper())
        return is_one_case and _PREFIXES[prefix] in networks and _is_witness_address(prefix, data)
    return not _networks_of_base58(text).isdisjoint(networks)


def deposit_address(seed: int, index: int) -> str:
    """Return the *index*-th deposit address under *seed*: a well-formed one whose key nobody has."""
    program = hashlib.sha256(f"stablesats okx-simulator {seed} {index}".encode()).digest()[:20]
    bits = "".join(f"{byte:08b}" for byte in program)
    words = [0, *(int(bits[at : at + 5], 2) for at in range(0, len(bits), 5))]
    residue = _polymod([*_expanded("bc"), *words, *[0] * 6]) ^ _BECH32_RESIDUE
    checksum = [(residue >> 5 * (5 - place)) & 31 for place in range(6)]
    return "bc1" + "".join(_BECH32[word] for word in (*words, *checksum))


def _is_witness_address(network: str, data: str) -> bool:
    words = [_BECH32.find(letter) for letter in data]
    if len(words) < 8 or -1 in words or words[0] > 16:
        return False
    residue = _BECH32_RESIDUE if words[0] == 0 else _BECH32M_RESIDUE
    program_bytes = (len(words) - 7) * 5 // 8
    sizes = {20, 32} if words[0] == 0 else range(2, 41)
    return program_bytes in sizes and _polymod([*_expanded(network), *words]) == residue


def _networks_of_base58(text: str) -> frozenset[BitcoinNetwork]:
    """Return where *text* is an address with a version byte; nowhere if its checksum is wrong."""
    digits = [_BASE58.find(letter) for letter in text]
    if -1 in digits:
        return frozenset()
    number = list(accumulate(digits, lambda total, digit: total * 58 + digit))[-1]
    if number.bit_length() > 25 * 8:
        return frozenset()
    octets = number.to_bytes(25, "big")
    check = hashlib.sha256(hashlib.sha256(octets[:21]).digest()).digest()[:4]
    leading = len(text) - len(text.lstrip("1"))
    zeros = len(octets) - len(octets.lstrip(b"\0"))
    is_whole = octets[21:] == check and leading == zeros
    return _VERSION_BYTES.get(octets[0], frozenset()) if is_whole else frozenset()


def _expanded(network: str) -> list[int]:
    return [*(ord(letter) >> 5 for letter in network), 0, *(ord(letter) & 31 for letter in network)]


def _polymod(words: list[int]) -> int:
    residue = 1
    for word in words:
        top = residue >> 25
        residue = (residue & 0x1FFFFFF) << 5 ^ word
        for bit, factor in enumerate(_GENERATOR):
            if top >> bit & 1:
                residue ^= factor
    return residue
