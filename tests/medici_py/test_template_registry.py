"""Templates are registered once; a changed one under an old version stops the start of the program."""

import asyncio
import dataclasses
import datetime as dt
from typing import Any
from uuid import UUID

import pytest
from bson.binary import UuidRepresentation
from mongomock_motor import AsyncMongoMockClient
from pymongo import AsyncMongoClient

from medici_py import (
    Side,
    StoredTemplate,
    TemplateChangedError,
    TemplateError,
    TemplateLeg,
    TemplateParams,
    TemplateRef,
    TransactionTemplate,
    UnknownTemplateError,
    init_models,
    read_templates,
    register_templates,
)
from medici_py.embedded import EmbeddedMongo

NOW = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
TEMPLATES = "medici_py_templates"


class Deposit(TemplateParams):
    wallet: str
    sats: int


def deposit(version: int = 1, *, entry_type: str = "DEPOSIT", **changes: Any) -> TransactionTemplate[Deposit]:
    """Return a template; those with the same entry type do the same."""

    def legs(params: Deposit) -> list[TemplateLeg]:
        return [
            TemplateLeg(account=account, side=side, amount=params.sats, currency="BTC", entry_type=entry_type)
            for account, side in (("Outside", Side.DEBIT), (f"Wallets:{params.wallet}", Side.CREDIT))
        ]

    template = TransactionTemplate(
        code="DEPOSIT",
        version=version,
        description="A deposit from outside.",
        params=Deposit,
        legs=legs,
        samples=[Deposit(wallet="w1", sats=1000)],
    )
    return dataclasses.replace(template, **changes)


async def stored_refs(database: Any) -> list[TemplateRef]:
    return [template.ref for template in await read_templates(database)]


async def test_registered_template_is_read_back(driver_database: Any) -> None:
    """The ledger describes itself: through every driver, whatever it does with UUIDs."""
    template = deposit(id=UUID(int=7))
    await register_templates(driver_database, [template], clock=lambda: NOW)
    assert await read_templates(driver_database) == [
        StoredTemplate(
            code="DEPOSIT",
            version=1,
            description="A deposit from outside.",
            id=UUID(int=7),
            fingerprint=template.fingerprint(),
            definition=template.describe(),
            registered_at=NOW,
        )
    ]


async def test_stored_document_is_as_described(bank: Any) -> None:
    """What another program, or a person with a shell, finds there."""
    template = deposit(id=UUID(int=7))
    await register_templates(bank, [template], clock=lambda: NOW)
    assert await bank[TEMPLATES].find_one({}) == {
        "_id": {"code": "DEPOSIT", "version": 1},
        "description": "A deposit from outside.",
        "id": "00000000-0000-0000-0000-000000000007",
        "fingerprint": template.fingerprint(),
        "definition": template.describe(),
        "registered_at": NOW.replace(tzinfo=None),
    }


async def test_registering_again_changes_nothing(bank: Any) -> None:
    """Every start of every process does it; a reworded description is no change."""
    await register_templates(bank, [deposit()], clock=lambda: NOW)
    before = await bank[TEMPLATES].find_one({})
    await register_templates(bank, [deposit(description="Reworded."), deposit()])
    assert await bank[TEMPLATES].find().to_list() == [before]


async def test_nothing_to_register_is_fine(bank: Any) -> None:
    """A program without templates."""
    await register_templates(bank, [])
    assert await read_templates(bank) == []


async def test_versions_stand_side_by_side(bank: Any) -> None:
    """A lower one than the newest is accepted: old and new processes run together for a while."""
    await register_templates(bank, [deposit(2, entry_type="NEW")])
    await register_templates(bank, [deposit(1), deposit(10, entry_type="NEWER")])
    await register_templates(bank, [deposit(1, code="ADJUSTMENT")])
    assert await stored_refs(bank) == [
        TemplateRef("ADJUSTMENT", 1),
        TemplateRef("DEPOSIT", 1),
        TemplateRef("DEPOSIT", 2),
        TemplateRef("DEPOSIT", 10),
    ]


async def test_changed_template_under_an_old_version_is_refused_with_the_difference(bank: Any) -> None:
    """Line by line, and the way out; nothing else of the same call is registered."""
    await register_templates(bank, [deposit()])
    with pytest.raises(TemplateChangedError) as caught:
        await register_templates(bank, [deposit(2), deposit(entry_type="DEPOSIT_BTC")])
    error = caught.value
    assert str(error).splitlines() == [
        "Template DEPOSIT was changed, and version 1 is registered as it was. Raise the version, or restore the template. What differs:",
        '-samples[0].legs[0].entry_type: "DEPOSIT"',
        '+samples[0].legs[0].entry_type: "DEPOSIT_BTC"',
        '-samples[0].legs[1].entry_type: "DEPOSIT"',
        '+samples[0].legs[1].entry_type: "DEPOSIT_BTC"',
    ]
    assert (error.code, error.template, error.version) == (400, "DEPOSIT", 1)
    assert error.differences == tuple(str(error).splitlines()[1:])
    assert await stored_refs(bank) == [TemplateRef("DEPOSIT", 1)]


async def test_changed_params_are_refused_with_the_difference(bank: Any) -> None:
    """Callers of the registered version would be refused."""

    class DepositWithFee(Deposit):
        fee: int | None = None

    await register_templates(bank, [deposit()])
    changed = deposit(params=DepositWithFee, samples=[DepositWithFee(wallet="w1", sats=1000)])
    with pytest.raises(TemplateChangedError) as caught:
        await register_templates(bank, [changed])
    assert caught.value.differences == (
        "+params.fee.default: null",
        "+params.fee.required: false",
        '+params.fee.type: "None | int"',
        "+samples[0].params.fee: null",
    )


async def test_fixed_id_belongs_to_the_template(bank: Any) -> None:
    """Other systems know the template by it."""
    await register_templates(bank, [deposit(id=UUID(int=7))])
    with pytest.raises(TemplateChangedError) as caught:
        await register_templates(bank, [deposit(id=UUID(int=8))])
    assert caught.value.differences == (
        '-id: "00000000-0000-0000-0000-000000000007"',
        '+id: "00000000-0000-0000-0000-000000000008"',
    )


async def test_two_templates_of_one_program_under_one_version_are_refused(bank: Any) -> None:
    """Before anything is registered."""
    with pytest.raises(TemplateChangedError, match="DEPOSIT"):
        await register_templates(bank, [deposit(), deposit(entry_type="OTHER")])
    assert await read_templates(bank) == []


async def test_template_that_cannot_be_described_is_refused(bank: Any) -> None:
    """Nothing is registered."""

    def one_sided(params: Deposit) -> list[TemplateLeg]:
        leg = TemplateLeg(account="A", side=Side.DEBIT, amount=params.sats, currency="BTC", entry_type="X")
        return [leg]

    with pytest.raises(TemplateError, match="does not balance"):
        await register_templates(bank, [deposit(), deposit(code="OTHER", legs=one_sided)])
    assert await read_templates(bank) == []


@pytest.mark.parametrize("round_", range(3))
async def test_many_processes_register_at_once(bank: Any, mongodb: EmbeddedMongo, round_: int) -> None:
    """The same templates: each stands once. Different ones under one version: one process goes on."""
    async with AsyncMongoClient[dict[str, Any]](mongodb.uri) as client:
        databases = [bank, client[bank.name]] * 4
        await asyncio.gather(*(register_templates(one, [deposit(1), deposit(2)]) for one in databases))
        assert await stored_refs(bank) == [TemplateRef("DEPOSIT", 1), TemplateRef("DEPOSIT", 2)]
        outcomes = await asyncio.gather(
            *(
                register_templates(one, [deposit(3, entry_type=f"TYPE_{number}")])
                for number, one in enumerate(databases)
            ),
            return_exceptions=True,
        )
    assert (
        sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType"] + ["TemplateChangedError"] * 7
    )
    (winner,) = [number for number, outcome in enumerate(outcomes) if outcome is None]
    (_, _, stored) = await read_templates(bank)
    assert stored.fingerprint == deposit(3, entry_type=f"TYPE_{winner}").fingerprint()


async def test_unknown_code_is_refused_naming_the_known_ones(bank: Any) -> None:
    """Sorted, each once."""
    with pytest.raises(UnknownTemplateError, match="known: none"):
        await read_templates(bank, "DEPOSIT")
    await register_templates(bank, [deposit(1), deposit(2), deposit(code="ADJUSTMENT")])
    assert [template.version for template in await read_templates(bank, "DEPOSIT")] == [1, 2]
    with pytest.raises(UnknownTemplateError) as caught:
        await read_templates(bank, "deposit")
    error = caught.value
    assert (error.template, error.known) == ("deposit", ("ADJUSTMENT", "DEPOSIT"))
    assert str(error).endswith(f"in database {bank.name!r}; known: ADJUSTMENT, DEPOSIT.")


async def test_clients_option_for_uuids_makes_no_difference(mongodb: EmbeddedMongo, bank: Any) -> None:
    """Processes may be configured differently."""
    await register_templates(bank, [deposit(id=UUID(int=7))])
    for representation in (UuidRepresentation.STANDARD, UuidRepresentation.PYTHON_LEGACY):
        options = bank.codec_options.with_options(uuid_representation=representation)
        await register_templates(bank.with_options(codec_options=options), [deposit(id=UUID(int=7))])
    (stored,) = await read_templates(bank)
    assert stored.id == UUID(int=7)


async def test_double_for_unit_tests_keeps_templates_too() -> None:
    """An application's unit tests start as its program does."""
    database = AsyncMongoMockClient()["bank"]
    await init_models(database)
    await register_templates(database, [deposit()])
    with pytest.raises(TemplateChangedError):
        await register_templates(database, [deposit(entry_type="OTHER")])
    assert await stored_refs(database) == [TemplateRef("DEPOSIT", 1)]
