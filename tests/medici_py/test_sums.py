"""MongoDB adds up whatever number types are stored, and the answer is exact."""

import random
import struct
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from medici_py.errors import UnreadableDocumentError
from medici_py.money import decimal_from_stored, exact_sum
from medici_py.sums import Sums, SumTooLargeError, fold_rows, sum_stages

Legs = list[dict[str, Any]]


async def summed(database: AsyncDatabase[Any], legs: Legs, *, precision: int = 8) -> Sums:
    await database.legs.delete_many({})
    await database.legs.insert_many([{"_id": ObjectId(), "debit": Int64(0)} | leg for leg in legs])
    cursor = await database.legs.aggregate(sum_stages(precision=precision))
    return fold_rows(await cursor.to_list(), precision=precision)[()]


def random_amount(choice: random.Random) -> Any:
    match choice.randrange(8):
        case 0:
            return choice.randint(-(2**31), 2**31 - 1)
        case 1:
            return Int64(choice.randint(-(2**62), 2**62))
        case 2:
            return float(choice.randint(-(2**53), 2**53))
        case 3:
            return choice.randint(-(10**13), 10**13) / 100
        case 4:
            return choice.uniform(-1e6, 1e6)  # 16 or 17 digits, more places than the precision
        case 5:
            return Decimal128(Decimal(choice.randint(-(10**24), 10**24)).scaleb(-8))
        case 6:
            return Decimal128(Decimal(choice.randint(-(10**20), 10**20)).scaleb(-15))
        case _:
            return 0.1 * choice.randint(1, 100)


@pytest.mark.parametrize("seed", range(6))
async def test_sum_over_mixed_types_equals_fold_on_the_client(
    seed: int, mongo_database: AsyncDatabase[dict[str, Any]]
) -> None:
    """Server and client agree to the last digit on any mixture of int32, int64, double and Decimal128."""
    choice = random.Random(seed)
    legs = [{"credit": random_amount(choice), "debit": random_amount(choice)} for _ in range(2_000)]
    legs += choice.sample(legs, 200)
    legs = [dict(leg) for leg in legs]
    sums = await summed(mongo_database, legs)
    assert sums == Sums(
        debit=exact_sum(decimal_from_stored(leg["debit"]) for leg in legs),
        credit=exact_sum(decimal_from_stored(leg["credit"]) for leg in legs),
        notes=len(legs),
    )


async def test_double_with_any_bits_is_its_shortest_text(
    mongo_database: AsyncDatabase[dict[str, Any]],
) -> None:
    """Doubles of every size and precision, drawn by their bits, count as the text Node shows for them."""
    choice = random.Random(1)
    doubles = []
    while len(doubles) < 3_000:
        (number,) = struct.unpack("<d", choice.randbytes(8))
        if 1e-30 < abs(number) < 1e22:
            doubles.append(number)
    doubles += [0.1, 0.3, 2.0**53, 2.0**53 + 2, 1e15 + 0.5, 123456789012345.6, 5e-324, -0.0, 1e22, 1e23]
    sums = await summed(mongo_database, [{"credit": number} for number in doubles])
    assert exact_sum(Decimal(repr(number)) for number in doubles) == sums.credit


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        ([Int64(2**53), 1.0, Int64(1)], "9007199254740994"),
        ([Int64(2**63 - 1), Int64(2**63 - 1)], "18446744073709551614"),
        ([0.1, 0.2], "0.3"),
        ([0.1 + 0.2, 0.1], "0.40000000000000004"),
        ([0.1, Decimal128("0.1000000000000000055511151231257827")], "0.2000000000000000055511151231257827"),
        ([None, 5], "5"),
        ([Decimal128("1E-8"), 1.4, 1.4], "2.80000001"),
    ],
)
async def test_sum_does_not_round_where_types_meet(
    amounts: list[Any], total: str, mongo_database: AsyncDatabase[dict[str, Any]]
) -> None:
    """int64 past 2^53 beside a double, past 2^63, fractions and a missing side: exact each time."""
    sums = await summed(mongo_database, [{"credit": amount} for amount in amounts])
    assert (total, len(amounts)) == (str(sums.credit), sums.notes)


@pytest.mark.parametrize(
    "odd", [True, "5", float("nan"), float("inf"), Decimal128("NaN"), Decimal128("-Infinity")]
)
async def test_amount_that_is_no_number_is_named(
    odd: Any, mongo_database: AsyncDatabase[dict[str, Any]]
) -> None:
    """No balance is made up over a leg whose amount is unknown; the error names leg, field and value."""
    leg_id = ObjectId()
    with pytest.raises(UnreadableDocumentError, match=f"Leg {leg_id}: credit") as caught:
        await summed(mongo_database, [{"credit": 1}, {"_id": leg_id, "credit": odd}])
    assert (leg_id, "credit") == (caught.value.document_id, caught.value.field)


@pytest.mark.parametrize(("each", "fits"), [("4E25", True), ("5E25", False)])
async def test_sum_that_a_decimal128_may_round_is_not_trusted(
    each: str, fits: bool, mongo_database: AsyncDatabase[dict[str, Any]]
) -> None:
    """With 8 places the server's sums are trusted below 10^26: 2 x 4e25 is, 2 x 5e25 is not."""
    legs = [{"credit": Decimal128(each)}, {"credit": Decimal128(each)}]
    if fits:
        assert Decimal("8E25") == (await summed(mongo_database, legs)).credit
    else:
        with pytest.raises(SumTooLargeError):
            await summed(mongo_database, legs)


async def test_groups_are_tuples_in_the_order_asked_for(
    mongo_database: AsyncDatabase[dict[str, Any]],
) -> None:
    """One row a group, None where a leg has no such field."""
    await mongo_database.legs.insert_many(
        [
            {"accounts": "A", "meta": {"currency": "USD"}, "credit": 1, "debit": 0},
            {"accounts": "A", "meta": {"currency": "USD"}, "credit": 0.1 + 0.2, "debit": 0},
            {"accounts": "A", "meta": {"currency": "BTC"}, "credit": 0, "debit": 3},
            {"accounts": "B", "credit": 4, "debit": 0},
        ]
    )
    by = {"currency": "$meta.currency", "account": "$accounts"}
    cursor = await mongo_database.legs.aggregate(sum_stages(by, precision=8))
    totals = fold_rows(await cursor.to_list(), names=("account", "currency"), precision=8)
    assert totals == {
        ("A", "USD"): Sums(Decimal(0), Decimal("1.30000000000000004"), 2),
        ("A", "BTC"): Sums(Decimal(3), Decimal(0), 1),
        ("B", None): Sums(Decimal(0), Decimal(4), 1),
    }
