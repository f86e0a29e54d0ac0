"""Which texts are bitcoin addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablesats.okx_simulator.addresses import BitcoinNetwork, deposit_address, is_bitcoin_address


@pytest.mark.parametrize(
    "address",
    [
        "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
    ],
)
def test_published_addresses_are_addresses(address: str) -> None:
    """From BIP 173 and BIP 350, and the genesis block; of no test chain."""
    assert is_bitcoin_address(address)
    assert not is_bitcoin_address(address, {BitcoinNetwork.TEST, BitcoinNetwork.REGTEST})


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", {"test"}),
        ("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080", {"regtest"}),
        ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", {"test", "regtest"}),
        ("2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", {"test", "regtest"}),
    ],
)
def test_addresses_of_test_chains_are_theirs_only(address: str, networks: set[str]) -> None:
    """Old ones look alike on both; none is one of the main chain."""
    assert {each for each in BitcoinNetwork if is_bitcoin_address(address, {each})} == networks
    assert not is_bitcoin_address(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bc1",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",  # witness 1 with bech32
        "bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "1" * 34,
        "T9yD14Nj9j7xAB4dbGeiX9h8unkKHxuWwb",
    ],
)
def test_typing_errors_and_other_chains_are_none(text: str) -> None:
    """The checksum and the prefix tell."""
    assert not is_bitcoin_address(text)


@given(st.integers(0, 10**6), st.integers(0, 1000))
def test_every_deposit_address_is_one_and_its_own(seed: int, index: int) -> None:
    """Equal seeds give equal addresses, another index another one."""
    address = deposit_address(seed, index)
    assert is_bitcoin_address(address)
    assert address == deposit_address(seed, index) != deposit_address(seed, index + 1)


@given(st.text(max_size=100))
def test_no_text_is_too_strange_to_be_looked_at(text: str) -> None:
    """Yes or no, never an error."""
    assert is_bitcoin_address(text) in (True, False)
