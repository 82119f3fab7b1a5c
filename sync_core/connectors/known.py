"""The kinds of settlement files that are known without a mapping."""

from collections.abc import Mapping
from typing import Final

from sync_core.connectors.adyen_settlement import ADYEN
from sync_core.connectors.amazon_settlement import AMAZON
from sync_core.connectors.camt053 import CAMT053
from sync_core.connectors.settlement_lines import Connector
from sync_core.connectors.stripe_payouts import STRIPE

SETTLEMENT_FILES: Final[Mapping[str, Connector]] = {
    "stripe_payouts": STRIPE,
    "adyen_settlement": ADYEN,
    "amazon_settlement_v2": AMAZON,
    "camt053": CAMT053,
}
