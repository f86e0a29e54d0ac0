"""How the fields of an answer are read: money exactly or not at all, everything else leniently.

``""`` and ``null`` mean "not applicable", unknown fields are ignored, numbers may come bare instead of as
text. A required number that is missing, empty or not a number is an error and never zero.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from stablesats.okx.amounts import parse_amount

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = re.compile(r"[0-9]{1,14}", re.ASCII)


class Message(BaseModel):
    """One row of an answer, frozen; can be made by its Python field names as well as from OKX's."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True, coerce_numbers_to_str=True
    )


def milliseconds_text(at: datetime) -> str:
    """Write *at* (aware) as OKX writes instants: milliseconds since 1970, rounded down."""
    return str((at - _EPOCH) // timedelta(milliseconds=1))


def parse_instant(value: object) -> datetime:
    """Read milliseconds since 1970 exactly.

    Raises:
        ValueError: If it is anything else.
    """
    if isinstance(value, datetime):
        return value
    text = str(value)
    if isinstance(value, bool) or not _MILLISECONDS.fullmatch(text):
        raise ValueError(f"expected milliseconds since 1970, found {text[:32]!r}")
    return _EPOCH + timedelta(milliseconds=int(text))


def _required_amount(value: object) -> Decimal:
    amount = parse_amount(value)
    if amount is None:
        raise ValueError("expected a number, found an empty field")
    return amount


def _optional_price(value: object) -> Decimal | None:
    # A price that is not above zero stands for "none" and must never be computed with.
    price = parse_amount(value)
    return price if price is not None and price > 0 else None


def _optional_instant(value: object) -> datetime | None:
    return None if value is None or value == "" else parse_instant(value)


def _text(value: object) -> object:
    return "" if value is None else value


def _flag(value: object) -> bool:
    match value:
        case bool():
            return value
        case "true":
            return True
        case "false" | "" | None:
            return False
        case _:
            raise ValueError(f"expected true or false, found {str(value)[:32]!r}")


Amount = Annotated[Decimal, BeforeValidator(_required_amount)]
PositiveAmount = Annotated[Amount, Field(gt=0)]
UnsignedAmount = Annotated[Amount, Field(ge=0)]
OptionalAmount = Annotated[Decimal | None, BeforeValidator(parse_amount)]
OptionalPrice = Annotated[Decimal | None, BeforeValidator(_optional_price)]
Instant = Annotated[datetime, BeforeValidator(parse_instant)]
OptionalInstant = Annotated[datetime | None, BeforeValidator(_optional_instant)]
NonEmpty = Annotated[str, Field(min_length=1)]
Text = Annotated[str, BeforeValidator(_text)]
Flag = Annotated[bool, BeforeValidator(_flag)]
