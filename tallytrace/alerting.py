"""Alerting put together: rules, routes and senders from the settings."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Final

import httpx
import msgspec

from alerts.api import Book
from alerts.delivery import Sender
from alerts.reader import SampleReader
from alerts.register import things
from alerts.routing import Contact, RoutesRefusedError, load_routes
from alerts.rulebook import Promise, RulesRefusedError, load_rules
from alerts.schedule import Evaluator
from alerts.senders.pagerduty import pagerduty
from alerts.senders.slack import slack
from alerts.senders.smtp import smtp
from alerts.senders.through_apprise import through_apprise
from alerts.senders.webhook import webhook
from alerts.store import Store
from alerts.watch import HEARTBEAT
from lineage.judge import MILLION
from lineage.slas import Sla
from tallytrace.settings import Settings

SHIPPED: Final = resources.files("alerts")


def book(settings: Settings, slas: Sequence[Sla]) -> Book:
    """Raises RulesRefusedError or RoutesRefusedError, naming the place and the reason.

    A shipped rule whose owner the routes do not have is the fallback's, which is an alert of its own.
    """
    promised = {sla.name: promise(sla) for sla in slas}
    shipped_routes = (SHIPPED / "routes.toml").read_text(encoding="utf-8")
    addresses = _addresses(settings)
    routes = load_routes(_own(settings.alert_routes) or shipped_routes, addresses)
    shipped = load_routes(shipped_routes, addresses)
    named = things(routes.owned)
    try:
        own = load_rules(_own(settings.alert_rules), promises=promised, owners=routes.owners, things=named)
    except RulesRefusedError as error:
        raise error.of(settings.alert_rules) from error
    rules = load_rules(
        (SHIPPED / "rules.toml").read_text(encoding="utf-8"),
        promises=promised,
        owners={*routes.owners, *shipped.owners, *(sla.owner for sla in slas)},
        things=named | things(shipped.owned),
        instead=own,
    )
    return Book(rules=rules, promises=promised, routes=routes)


def promise(sla: Sla) -> Promise:
    places = (dimensions for dimensions in sla.segments if "kind" not in dimensions)
    levels = {"location" if "location" in dimensions else dimensions[0] for dimensions in places}
    return Promise(
        deadline=sla.deadline.text,
        target=sla.target,
        window_seconds=sla.window_days * 86_400.0,
        rolling=sla.period is None,
        measured_every_seconds=sla.measured_every.seconds,
        levels=frozenset({"all", *levels}),
        owner=sla.owner,
        targets=frozenset(one.target_ppm / MILLION for one in sla.channel_thresholds.values()),
    )


def evaluator(
    settings: Settings,
    by: Book,
    store: Store,
    reader: SampleReader,
    client: httpx.Client,
    clock: Callable[[], datetime],
) -> Evaluator:
    address = settings.alert_heartbeat_url
    return Evaluator(
        store,
        reader,
        by.rules,
        by.routes,
        senders(client),
        clock,
        public_url=settings.plane_base,
        promises=by.promises,
        interval_seconds=settings.alert_tick_seconds,
        heartbeat=Contact(name=HEARTBEAT, sender="webhook", address=address) if address else None,
    )


def senders(client: httpx.Client) -> Mapping[str, Sender]:
    return {
        "webhook": webhook(client),
        "pagerduty": pagerduty(client),
        "slack": slack(client),
        "smtp": smtp(),
        "apprise": through_apprise(),
    }


def _own(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise RoutesRefusedError(f"{path}: {error}") from error


def _addresses(settings: Settings) -> dict[str, str]:
    try:
        own = msgspec.convert(tomllib.loads(_own(settings.alert_addresses)), dict[str, str])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RoutesRefusedError(f"{settings.alert_addresses}: {error}") from error
    return {"webhook_url": settings.webhook_url} | own
