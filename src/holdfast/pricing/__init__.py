"""What tokens cost: a dated table with sources (``prices.json``), and bills in exact decimals."""

from holdfast.pricing.price import Bill, Hours, Period, Price, Rates, Tier, bill, cost
from holdfast.pricing.table import Prices

__all__ = ["Bill", "Hours", "Period", "Price", "Prices", "Rates", "Tier", "bill", "cost"]
