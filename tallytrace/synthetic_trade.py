"""Trade that nobody did, in the Online Retail format: the same lines for the same seed, as long as one wants them."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

from sync_core.connectors.online_retail import COLUMNS

FIRST_DAY: Final = dt.datetime(2011, 3, 1, 8, 0, tzinfo=dt.UTC)  # the file writes no zone
LINES_PER_DAY: Final = 1_450  # as the real file has them
CUSTOMERS: Final = 4_000
CODES: Final = 3_500
MEAN_LINES: Final = 21
RETURN_SHARE: Final = 0.12
ADJUSTMENT_SHARE: Final = 0.08
COUNTRY: Final = "United Kingdom"


def rows(lines: int, seed: int) -> Iterator[str]:
    """``lines`` rows and the header: orders of about 21 lines, credit memos for earlier ones, stock adjustments."""
    chance = Random(seed)
    prices = [chance.randint(29, 1_995) for _ in range(CODES)]
    sold: list[tuple[int, int, int]] = []  # customer, code, quantity
    yield ",".join(COLUMNS)
    made = 0
    number = 500_000
    while made < lines:
        number += 1
        at = FIRST_DAY + dt.timedelta(days=made // LINES_PER_DAY, seconds=(made % LINES_PER_DAY) * 20)
        what = chance.random()
        if sold and what < RETURN_SHARE:
            customer, code, quantity = chance.choice(sold)
            yield _row(f"C{number}", code, -chance.randint(1, quantity), at, prices[code], customer)
            made += 1
        elif what < RETURN_SHARE + ADJUSTMENT_SHARE:
            yield _row(str(number), chance.randrange(CODES), chance.choice((-3, -1, 2)), at, 0, 0)
            made += 1
        else:
            customer = chance.randint(1, CUSTOMERS)
            for _ in range(min(lines - made, chance.randint(1, 2 * MEAN_LINES - 1))):
                code, quantity = chance.randrange(CODES), chance.choice((1, 2, 4, 6, 12, 24))
                yield _row(str(number), code, quantity, at, prices[code], customer)
                sold.append((customer, code, quantity))
                made += 1


def write(path: Path, lines: int, seed: int) -> Path:
    """The rows as a file."""
    with path.open("w", encoding="utf-8") as target:
        target.writelines(f"{row}\n" for row in rows(lines, seed))
    return path


def _row(invoice: str, code: int, quantity: int, at: dt.datetime, price_minor: int, customer: int) -> str:
    name = f"{12_000 + customer}.0" if customer else ""
    price = f"{price_minor // 100}.{price_minor % 100:02d}"
    return f"{invoice},{10_000 + code},ITEM {code},{quantity},{at:%Y-%m-%d %H:%M:00},{price},{name},{COUNTRY}"
