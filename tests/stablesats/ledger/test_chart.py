"""The chart of accounts is that of stablesats-rs, to the last id."""

import pytest

from stablesats.ledger import EXCHANGE_POSITION_BOOK, STABLESATS_BOOK, Account, Currency, Layer, NormalSide

REFERENCE = [
    ("EXTERNAL_OMNIBUS", "10000000-1000-0000-0000-000000000000", "debit", "BTC"),
    ("STABLESATS_BTC_WALLET", "20000000-2000-0000-0000-000000000000", "credit", "BTC"),
    ("STABLESATS_OMNIBUS", "20000000-1000-0000-0000-000000000000", "debit", "USD"),
    ("STABLESATS_LIABILITY", "20000000-2100-0000-0000-000000000000", "credit", "USD"),
    ("OKEX_ALLOCATION", "10000000-1000-0000-0000-000000000003", "credit", "USD"),
    ("BITFINEX_ALLOCATION", "10000000-1000-0000-0000-000000000004", "credit", "USD"),
    ("EXCHANGE_POSITION_OMNIBUS", "10000000-1000-0000-0000-000000000001", "credit", "USD"),
    ("OKEX_POSITION", "10000000-1000-0000-0000-000000000002", "debit", "USD"),
    ("QUOTES_OMNIBUS", "30000000-1000-8000-0000-000000000000", "credit", "BTC USD"),
    ("QUOTES_LIABILITIES", "10000000-2200-0000-0000-000000000000", "credit", "USD"),
    ("QUOTES_ASSETS", "20000000-1200-0000-0000-000000000000", "debit", "BTC"),
]


@pytest.mark.parametrize(("code", "id_", "normal_side", "currencies"), REFERENCE)
def test_account_is_the_one_of_stablesats_rs(code: str, id_: str, normal_side: str, currencies: str) -> None:
    """Code, id, normal side and currencies."""
    account = Account[code]
    assert (account.code, str(account.id), account.normal_side.value) == (code, id_, normal_side)
    assert [currency.value for currency in account.currencies] == currencies.split()
    assert account.meaning


def test_there_are_no_other_accounts() -> None:
    """And no two members share an id, which would make one an alias of the other."""
    assert list(Account.__members__) == [code for code, *_ in REFERENCE]
    assert len({account.id for account in Account}) == len(REFERENCE)


def test_only_the_position_stands_in_its_own_book() -> None:
    """The mirror and its counter account; everything else is Stablesats."""
    mirrored = {account for account in Account if account.book == EXCHANGE_POSITION_BOOK}
    assert mirrored == {Account.OKEX_POSITION, Account.EXCHANGE_POSITION_OMNIBUS}
    assert {account.book for account in Account} == {STABLESATS_BOOK, EXCHANGE_POSITION_BOOK}


def test_stored_words_do_not_change() -> None:
    """They stand in every leg that was ever posted."""
    assert [currency.value for currency in Currency] == ["BTC", "USD"]
    assert [layer.value for layer in Layer] == ["SETTLED", "PENDING", "ENCUMBERED"]
    assert [side.value for side in NormalSide] == ["debit", "credit"]
    assert [currency.minor_unit for currency in Currency] == ["satoshi", "cent"]
