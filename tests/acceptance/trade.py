"""A few weeks of a small wholesaler in the Online Retail format, small enough to know every figure by heart."""

import csv
import gzip
import io
from pathlib import Path

HEADER = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")

# invoice, code, quantity, time, price, customer
ROWS: tuple[tuple[str, str, int, str, str, str], ...] = (
    ("600001", "A1", 10, "2011-03-01 09:00:00", "2.50", "100"),
    ("600001", "A1", 2, "2011-03-01 09:00:00", "2.50", "100"),  # the same code twice is a line of its own
    ("600001", "B2", 5, "2011-03-01 09:00:00", "1.25", "100"),
    ("600001", "POST", 1, "2011-03-01 09:00:00", "18.00", "100"),
    ("600002", "A1", 4, "2011-03-01 10:00:00", "3.00", "100"),  # dearer than before
    ("600002", "C3", 1, "2011-03-01 10:00:00", "0.0", "100"),  # given free
    ("600003", "DOT", 1, "2011-03-02 08:30:00", "7.00", ""),
    ("600003", "b2", 3, "2011-03-02 08:30:00", "1.45", ""),  # lower case is the same code
    ("600004", "gift_0001_20", 2, "2011-03-02 09:00:00", "16.67", ""),
    ("600005", "A1", -3, "2011-03-02 11:00:00", "0.0", ""),  # damaged in the warehouse
    ("600006", "A1", 1, "2011-03-02 11:05:00", "0.0", ""),  # found again
    ("600007", "AMAZONFEE", 1, "2011-03-03 09:00:00", "100.00", ""),  # a charge
    ("C600008", "A1", -5, "2011-03-04 12:00:00", "2.50", "100"),  # of 600001, the latest line first
    ("C600008", "B2", -1, "2011-03-04 12:00:00", "1.25", "100"),
    ("C600008", "Z9", -2, "2011-03-04 12:00:00", "4.00", "100"),  # never sold: parked
    ("600009", "B2", 7, "2011-03-07 09:00:00", "1.25", "200"),
    ("C600010", "B2", -7, "2011-03-07 09:30:00", "1.25", "200"),  # within the hour: a cancellation
    ("C600011", "A1", -2, "2011-03-08 09:00:00", "2.50", ""),  # no customer: parked
    ("C600012", "D", -1, "2011-03-08 10:00:00", "5.00", "100"),  # a discount after the fact
    ("A600013", "B", 1, "2011-03-09 09:00:00", "-50.00", ""),  # bad debt
)

POSTED = (
    ("goods sold", 6, 31, 6135),  # 25.00 + 5.00 + 6.25 + 12.00 + 4.35 + 8.75
    ("goods given free in orders", 1, 1, 0),
    ("gift vouchers sold", 1, 2, 3334),
    ("shipping charged", 2, 2, 2500),
    ("manual charges", 0, 0, 0),
    ("fees, positive", 1, 1, 10000),
    ("samples, positive", 0, 0, 0),
    ("bad debt", 1, 1, -5000),
    ("stock adjustment, goods, plus", 1, 1, 0),
    ("stock adjustment, goods, minus", 1, -3, 0),
    ("stock adjustment, not goods", 0, 0, 0),
    ("credit, goods, matched", 3, -13, -2250),  # 12.50 + 1.25 + 8.75
    ("- cancelled before shipment", None, -7, -875),
    ("- returned", None, -6, -1375),
    ("credit, shipping", 0, 0, 0),
    ("credit, discount", 1, -1, -500),
    ("credit, manual", 0, 0, 0),
    ("credit, fees", 0, 0, 0),
    ("credit, samples", 0, 0, 0),
    ("credit, goods, parked", 2, -4, -1300),
    ("- parked: no customer", None, -2, -500),
    ("- parked: no earlier sale", None, -2, -800),
)
"""Name, lines, units, minor units: added up by hand from ROWS."""

DOCUMENTS = {"orders": 5, "charges": 1, "stock adjustments": 2, "credit notes": 4, "bad debt": 1}


def text(rows: tuple[tuple[str, str, int, str, str, str], ...] = ROWS) -> str:
    """The rows as the file has them; customers carry the ``.0`` of the original."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    for invoice, code, quantity, at, price, customer in rows:
        name = f"{customer}.0" if customer else ""
        writer.writerow((invoice, code, "SOMETHING", quantity, at, price, name, "United Kingdom"))
    return buffer.getvalue()


def written(path: Path, content: str | None = None) -> Path:
    """The file, gzipped when its name says so."""
    body = (text() if content is None else content).encode()
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return path


DAYS = 7  # on which something was traded
