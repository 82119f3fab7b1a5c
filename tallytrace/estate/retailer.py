"""Who there is: stores, a web shop, two marketplaces, a returns platform, regional warehouses, an ERP, providers."""

from functools import cache
from random import Random
from typing import Final

from msgspec import Struct

from lineage.brands import Brand

CURRENCY: Final = "GBP"
STORES: Final = tuple(f"ST{number:03}" for number in range(1, 401))
WAREHOUSES: Final = ("DC1", "DC2", "DC3")
FLAGSHIP: Final = "ST001"  # what it has the second marketplace sells as well
LOCATIONS: Final = (*WAREHOUSES, *STORES)

SHOP: Final = "shopify"
RETURNS: Final = "returns-platform"
ERP: Final = "erp"  # it has master data, and the invoices of suppliers
CARDS: Final = "stripe"  # what is paid in the web shop
TILLS: Final = "adyen"  # what is paid in the stores
MARKETPLACES: Final = ("amazon", "walmart")  # each its own origin, channel and provider
ONLINE: Final = ("web", *MARKETPLACES)
SERVED: Final = {"web": LOCATIONS, "amazon": WAREHOUSES, "walmart": (*WAREHOUSES, FLAGSHIP)}
"""The locations whose stock a channel sells; the web shop's customers are sent it from stores too, or fetch it."""

BRANDS: Final = (
    Brand("Marlow", channels=("web", "amazon"), locations=STORES[:250]),
    Brand("Tern", channels=("walmart",), locations=STORES[250:]),
)

PRODUCTS: Final = 40
ASSORTMENT: Final = 12
"""Products that a store has; warehouses have all but the two last."""


class Product(Struct, frozen=True):
    sku: str
    price_minor: int
    cost_minor: int


@cache
def catalogue(seed: int) -> tuple[Product, ...]:
    """What is sold; the last but one is promoted, the last is never in stock for long."""
    chance = Random(f"{seed}:catalogue")
    kinds = ("MUG", "LAMP", "BAG", "TIN", "CLOCK", "CANDLE", "APRON", "FRAME", "BOWL", "CARD")
    colours = ("RED", "BLU", "GRN", "WHT")
    products = []
    for number in range(PRODUCTS - 2):
        price = chance.randrange(150, 4_500, 5)
        cost = price * chance.randrange(35, 60) // 100
        products.append(Product(f"{kinds[number % 10]}-{colours[number // 10]}-{100 + number}", price, cost))
    return (*products, Product("PROMO-138", 1_995, 900), Product("LTD-GLD-139", 12_500, 7_000))


def promoted(seed: int) -> Product:
    return catalogue(seed)[-2]


def limited(seed: int) -> Product:
    return catalogue(seed)[-1]


@cache
def assortment(seed: int, location: str) -> tuple[Product, ...]:
    """What a location has on its shelves."""
    products = catalogue(seed)[:-2]
    if location in WAREHOUSES:
        return products
    return tuple(Random(f"{seed}:{location}").sample(products, ASSORTMENT))


def keeper(location: str) -> str:
    """The system that knows what comes to a location and leaves it: a regional WMS, or the till server of a store."""
    return f"{'wms' if location in WAREHOUSES else 'pos'}:{location.lower()}"


def shown_in(location: str) -> tuple[str, ...]:
    """The channels that sell what is at a location."""
    return ONLINE if location in WAREHOUSES else ("store",)
