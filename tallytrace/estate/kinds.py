"""The kinds of incident in the estate, and what each is."""

from typing import Final, Literal, get_args

Kind = Literal[
    "refund-in-parts", "erp-outage", "marketplace-throttling", "pickup-still-shown", "store-offline",
    "late-settlement", "doubled-webhook", "refund-unposted", "promotion-early",
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
WHAT: Final[dict[Kind, str]] = {
    "refund-in-parts": "a refund is seen in the shop, partly in the settlement, and late in the ERP",
    "erp-outage": "the ERP takes nothing",
    "marketplace-throttling": "a marketplace answers 429: neither stock nor acknowledgements reach it",
    "pickup-still-shown": "a customer picks up the last one while a marketplace still shows it, and sells it",
    "store-offline": "a store sells on without its line; all comes when it is back",
    "late-settlement": "a marketplace pays out later than it announced",
    "doubled-webhook": "the web shop sends each order twice, some with other content the second time",
    "refund-unposted": "a provider gave money back that nobody told of",
    "promotion-early": "a promotion starts before its stock is refreshed",
}
