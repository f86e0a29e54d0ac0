"""The chart of the collateral: what is stored in every leg, and nothing that stablesats-rs has an id for."""

import pytest

from stablesats.ledger import EXCHANGE_COLLATERAL_BOOK, CollateralAccount, Currency
from stablesats.ledger.chart_registry import chart_entries, collateral_entries
from stablesats.ledger.collateral_templates import COLLATERAL_TEMPLATES
from stablesats.ledger.templates import TEMPLATES

CHART = [
    ("OKEX_FUNDING", "c1000000-0000-0000-0000-000000000001", "debit"),
    ("OKEX_TRADING", "c1000000-0000-0000-0000-000000000002", "debit"),
    ("IN_TRANSIT_TO_OKEX", "c1000000-0000-0000-0000-000000000003", "debit"),
    ("IN_TRANSIT_FROM_OKEX", "c1000000-0000-0000-0000-000000000004", "debit"),
    ("HOT_WALLET_COLLATERAL", "c1000000-0000-0000-0000-000000000005", "credit"),
    ("ONCHAIN_FEES", "c1000000-0000-0000-0000-000000000006", "debit"),
    ("TRADING_FEES", "c1000000-0000-0000-0000-000000000007", "debit"),
    ("FUNDING_PAYMENTS", "c1000000-0000-0000-0000-000000000008", "credit"),
    ("REALISED_PROFIT", "c1000000-0000-0000-0000-000000000009", "credit"),
]


@pytest.mark.parametrize(("code", "id_", "normal_side"), CHART)
def test_account_is_what_stored_legs_rely_on(code: str, id_: str, normal_side: str) -> None:
    """Code, id and normal side do not change under version 1; everything is bitcoin in one book."""
    account = CollateralAccount[code]
    assert (account.code, str(account.id), account.normal_side.value) == (code, id_, normal_side)
    assert (account.book, account.currencies, account.version) == (
        EXCHANGE_COLLATERAL_BOOK,
        (Currency.BTC,),
        1,
    )
    assert account.meaning.endswith(".")


def test_there_are_no_other_accounts() -> None:
    """And no two members are one under two names."""
    assert list(CollateralAccount.__members__) == [code for code, *_ in CHART]
    assert len(list(CollateralAccount)) == len(CHART)


def test_ids_and_codes_are_not_those_of_the_other_books() -> None:
    """Whoever looks something up by id or code finds one thing."""
    entries = (*chart_entries(), *collateral_entries())
    assert len({entry.code for entry in entries}) == len(entries)
    assert len({entry.definition["id"] for entry in entries}) == len(entries)
    templates = (*TEMPLATES, *COLLATERAL_TEMPLATES)
    assert len({template.code for template in templates}) == len(templates)
    assert len({template.id for template in templates}) == len(templates)


def test_chart_registers_the_book_and_its_accounts() -> None:
    """Each under version 1 so far."""
    entries = collateral_entries()
    assert [(entry.kind, entry.code, entry.version) for entry in entries] == [
        ("book", "Exchange Collateral", 1),
        *(("account", code, 1) for code, *_ in CHART),
    ]
    assert entries[0].definition == {"id": "c0000000-0000-0000-0000-000000000001"}
    assert entries[1].definition == {
        "id": "c1000000-0000-0000-0000-000000000001",
        "book": "Exchange Collateral",
        "normal_side": "debit",
        "currencies": ["BTC"],
    }
