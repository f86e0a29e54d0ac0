"""An order as it is asked for; pure."""

from dataclasses import dataclass
from decimal import Decimal

from stablesats.okx.amounts import order_size_text, positive_text
from stablesats.okx.errors import OkxInvalidRequestError
from stablesats.okx.messages import OrderSide, OrderType


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOrder:
    """One order in cross margin and net mode.

    Attributes:
        side: Buy or sell.
        size_contracts: Contracts, above zero, a multiple of the instrument's lot.
        client_order_id: Our id, 1 to 32 letters and digits, new for every order.
        order_type: How it is executed; a market order by default.
        limit_price_usd: Required by the types that have one, a multiple of the instrument's tick.
        reduce_only: Whether the order may only make the position smaller.
    """

    side: OrderSide
    size_contracts: Decimal | int
    client_order_id: str
    order_type: OrderType = OrderType.MARKET
    limit_price_usd: Decimal | int | None = None
    reduce_only: bool = False

    def fields(self) -> dict[str, str | bool]:
        """Return what OKX is told, without instrument and ids.

        Raises:
            OkxInvalidRequestError: If the size is not above zero, or a price is missing, not above zero, or
                given for a type that takes none.
        """
        fields: dict[str, str | bool] = {
            "side": self.side.value,
            "ordType": self.order_type.value,
            "sz": order_size_text(self.size_contracts),
        }
        if self.order_type.has_limit_price != (self.limit_price_usd is not None):
            needs = "needs a" if self.order_type.has_limit_price else "takes no"
            raise OkxInvalidRequestError(f"a {self.order_type.value} order {needs} limit price")
        if self.limit_price_usd is not None:
            fields["px"] = positive_text(self.limit_price_usd, "a limit price in USD")
        if self.reduce_only:
            fields["reduceOnly"] = True
        return fields
