# mypy: ignore-errors
"""Makes a small retailer in an empty Tryton database; run by Tryton's own Python, with its configuration file."""

import datetime as dt
import sys
from decimal import Decimal

from proteus import Model, Wizard, config
from trytond.modules.account_invoice.tests.tools import set_fiscalyear_invoice_sequences

CHART = {
    "1100": "balance", "1200": "balance", "1300": "balance", "1310": "balance", "1900": "balance", "2100": "balance",
    "2200": "balance", "2300": "balance", "3000": "balance", "4000": "income", "5000": "income", "6000": "income",
}  # fmt: skip


def made(model, /, **values):
    one = Model.get(model)(**values)
    one.save()
    return one


def company():
    pounds = made(
        "currency.currency", name="Pound sterling", symbol="£", code="GBP", rounding=Decimal("0.01"), digits=2
    )
    wizard = Wizard("company.company.config")
    wizard.execute("company")
    wizard.form.party = made("party.party", name="Retailer")
    wizard.form.currency = pounds
    wizard.execute("add")
    return pounds, Model.get("company.company").find()[0]


def books(own):
    types = {
        statement: made("account.account.type", name=statement, statement=statement, company=own)
        for statement in sorted(set(CHART.values()))
    }
    for code, statement in CHART.items():
        made("account.account", name=code, code=code, type=types[statement], company=own)
    made("account.journal", name="Tallytrace", code="TT", type="general")
    for year in (2026, 2027):
        sequence_type = Model.get("ir.sequence.type").find([("name", "=", "Account Move")])[0]
        sequence = made("ir.sequence.strict", name=str(year), sequence_type=sequence_type, company=own)
        opened = Model.get("account.fiscalyear")(name=str(year), company=own, move_sequence=sequence)
        opened.start_date, opened.end_date = dt.date(year, 1, 1), dt.date(year, 12, 31)
        set_fiscalyear_invoice_sequences(opened).click("create_period")


def trade(own):
    """Goods, where they are, and whom they are sold to."""
    made("party.party", name="Customers of the web shop", code="WEB", addresses=[{}])
    places = Model.get("stock.location")
    for code, kind in (
        ("STORE", "storage"),
        ("SUPPLIED", "lost_found"),
        ("SOLD", "lost_found"),
        ("LOST", "lost_found"),
    ):
        places(name=code, code=code, type=kind).save()
    unit = Model.get("product.uom").find([("name", "=", "Unit")])[0]
    for code in ("A1", "B2"):
        template = Model.get("product.template")(name=code, code=code, type="goods", default_uom=unit, salable=True)
        template.save()


def main():
    session = config.set_trytond("retail", config_file=sys.argv[1])
    _, own = company()
    session._context = Model.get("res.user").get_preferences(True, {})
    books(own)
    trade(own)


main()
