"""Whose is it, and how are they reached?"""

import tomllib
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]


class Owner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str
    contacts: tuple[Name, ...]


class ContactPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``address`` and ``secret`` name settings; a contact without a secret gets unsigned messages."""

    sender: Literal["webhook"]
    address: Name
    secret: Name | None = None


class RouteFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    fallback: Name
    owners: dict[Name, Owner]
    contacts: dict[Name, ContactPlan]


class Contact(Struct, frozen=True, kw_only=True):
    """A way to reach an owner. An empty address means that nobody set one: messages wait until somebody does."""

    name: str
    sender: str
    address: str
    secret: str = ""

    def __repr__(self) -> str:
        """Without the address and the secret: both open doors, and a repr ends in logs."""
        return f"Contact({self.name!r}, sender={self.sender!r})"


class Routes(Struct, frozen=True, kw_only=True):
    fallback: str
    titles: dict[str, str]  # by owner
    contacts: dict[str, Contact]  # by name
    by_owner: dict[str, tuple[str, ...]]  # owner to names of contacts


class Routed(Struct, frozen=True):
    owner: str
    title: str
    contacts: tuple[Contact, ...]
    reason: str


class RoutesRefusedError(ValueError):
    """The routes of alerts cannot be loaded."""


def load_routes(text: str, addresses: Mapping[str, str]) -> Routes:
    """The routes of a TOML text; ``addresses`` holds the settings that contacts may name, by setting.

    Raises RoutesRefusedError with the reason.
    """
    try:
        file = msgspec.convert(tomllib.loads(text), RouteFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RoutesRefusedError(str(error)) from error
    faults = _faults(file, addresses)
    if faults:
        raise RoutesRefusedError("; ".join(faults))
    contacts = {
        name: Contact(
            name=name,
            sender=plan.sender,
            address=addresses[plan.address],
            secret=addresses[plan.secret] if plan.secret else "",
        )
        for name, plan in file.contacts.items()
    }
    titles = {name: owner.title for name, owner in file.owners.items()}
    by_owner = {name: owner.contacts for name, owner in file.owners.items()}
    return Routes(fallback=file.fallback, titles=titles, contacts=contacts, by_owner=by_owner)


def route(owner: str, routes: Routes) -> Routed:
    """The contacts of an owner; those of the fallback owner when the owner has none."""
    names = routes.by_owner.get(owner, ())
    if names:
        return Routed(owner, routes.titles[owner], _contacts(names, routes), f"{owner} owns it")
    contacts = _contacts(routes.by_owner[routes.fallback], routes)
    why = f"{owner or 'nobody'} has no contact, so {routes.fallback} is told"
    return Routed(routes.fallback, routes.titles[routes.fallback], contacts, why)


def _contacts(names: tuple[str, ...], routes: Routes) -> tuple[Contact, ...]:
    return tuple(routes.contacts[name] for name in names)


def _faults(file: RouteFile, addresses: Mapping[str, str]) -> list[str]:
    faults = []
    if not file.owners.get(file.fallback, Owner(title="", contacts=())).contacts:
        faults.append(f"fallback {file.fallback!r} is no owner with a contact")
    named = [contact for owner in file.owners.values() for contact in owner.contacts]
    faults += [f"contact {name!r} is not declared" for name in named if name not in file.contacts]
    faults += [f"contact {name!r} belongs to no owner" for name in file.contacts if name not in named]
    settings = [(name, setting) for name, plan in file.contacts.items() for setting in (plan.address, plan.secret)]
    faults += [f"contact {name!r}: unknown setting {it!r}" for name, it in settings if it and it not in addresses]
    return faults
