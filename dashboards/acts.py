"""What people do from a page: whom it is asked of, what it would do, and what came of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from dashboards import wording
from dashboards.answers import Acted, AlertView, Hidden, PeriodStatus
from dashboards.remote import RefusedError, Remote, UnansweredError
from lineage.model import Money

Deed = Literal[
    "exceptions.assign", "exceptions.resolve", "exceptions.replay", "exceptions.compensate", "alerts.acknowledge",
    "alerts.silence", "alerts.unsilence", "periods.begin", "periods.close", "periods.reopen",
]  # fmt: skip
Field = Literal["to", "hours", "accept"]
Names = Annotated[tuple[str, ...], Meta(max_length=500)]


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be done, and to what; ``about`` says so in words."""

    deed: Deed
    about: str
    ids: Names = ()
    where: dict[str, str] = {}


class Said(Struct, frozen=True, kw_only=True):
    """What the person wrote in the form."""

    by: str = ""
    reason: str = ""
    to: str = ""
    hours: float = 4.0
    accept: bool = False


class Form(Struct, frozen=True):
    title: str
    warning: str
    confirm: str
    fields: tuple[Field, ...] = ()


FORMS: Final[dict[Deed, Form]] = {
    "exceptions.assign": Form("Assign", "It stays open; whoever it is for is shown beside it.", "Assign", ("to",)),
    "exceptions.resolve": Form(
        "Resolve", "It is closed with your reason on record. What caused it is not mended by that.", "Resolve"
    ),
    "exceptions.replay": Form(
        "Replay", "What caused it is processed again. If that fails, it opens again.", "Replay"
    ),
    "exceptions.compensate": Form(
        "Undo the document", "The stock document whose journal the ERP refused is undone by a new, dated one.", "Undo"
    ),
    "alerts.acknowledge": Form(
        "Acknowledge", "Whoever was told is told that somebody is at it. It reminds you if it still fires then.",
        "Acknowledge", ("hours",),
    ),
    "alerts.silence": Form(
        "Silence", "What matches is judged as before and told to nobody until then.", "Silence", ("hours",)
    ),
    "alerts.unsilence": Form("End the silence", "What it hides is told from now on.", "End it"),
    "periods.begin": Form("Begin to close", "From then on only finance may post in the month.", "Begin"),
    "periods.close": Form(
        "Close the month", "It takes no entry any more; what comes late goes into the next.", "Close", ("accept",)
    ),
    "periods.reopen": Form("Reopen the month", "It takes entries again. This is on record.", "Reopen"),
}  # fmt: skip


class Actor:
    """Does it, through the APIs of those whose it is."""

    def __init__(self, core: Remote, plane: Remote, wall: Callable[[], datetime]) -> None:
        self._core = core
        self._plane = plane
        self._wall = wall

    def foresee(self, act: Act) -> str:
        """What it would do now, in words; "" when there is no way to ask."""
        try:
            if act.deed.startswith("exceptions."):
                return _acted(self._exceptions(act, Said(by="-", reason="-", to="-"), dry_run=True), ahead=True)
            if act.deed == "alerts.silence":
                return _hidden(self._silence(act, Said(by="-", reason="-"), dry_run=True))
        except (RefusedError, UnansweredError) as error:
            return f"{wording.sentence(str(error))}."
        return ""

    def do(self, act: Act, said: Said) -> str:
        """What came of it, in words. Raises RefusedError and UnansweredError."""
        match act.deed.split("."):
            case ["exceptions", _]:
                return _acted(self._exceptions(act, said))
            case ["alerts", "acknowledge"]:
                seconds = min(max(said.hours * 3600, 60), 7 * 86_400)
                body = {"by": said.by, "note": said.reason, "remind_after_seconds": seconds}
                for one in act.ids:
                    self._plane.post(f"/v1/alerts/{one}/ack", body, AlertView)
                return f"Acknowledged: {act.about}."
            case ["alerts", "silence"]:
                return _hidden(self._silence(act, said))
            case ["alerts", "unsilence"]:
                for one in act.ids:
                    self._plane.delete(f"/v1/silences/{int(one)}")
                return "The silence is over."
            case ["periods", verb]:
                return self._period(act, verb, said)
        raise RefusedError(f"{act.deed} is not something that can be done here")

    def _exceptions(self, act: Act, said: Said, *, dry_run: bool = False) -> Acted:
        verb = act.deed.partition(".")[2]
        body: dict[str, Any] = {"by": said.by, "reason": said.reason, "dry_run": dry_run}
        body |= {"ids": act.ids} if act.ids else {"where": act.where}
        body |= {"to": said.to} if verb == "assign" else {}
        return self._core.post(f"/v1/exceptions/{verb}", body, Acted)

    def _silence(self, act: Act, said: Said, *, dry_run: bool = False) -> Hidden:
        until = self._wall().astimezone(UTC) + timedelta(hours=said.hours)
        match = {name: [value] for name, value in act.where.items()}
        body = {"match": match, "ends_at": until, "by": said.by, "reason": said.reason, "dry_run": dry_run}
        return self._plane.post("/v1/silences", body, Hidden)

    def _period(self, act: Act, verb: str, said: Said) -> str:
        body = {"by": said.by, "reason": said.reason, "accept_open": said.accept,
                "legal_entity": act.where.get("legal_entity", "")}  # fmt: skip
        done = self._core.post(f"/v1/periods/{act.where['period']}/{verb}", body, PeriodStatus)
        return f"{done.period} of {done.legal_entity} is {done.state}."


def read(asked: object) -> Act:
    """Raises msgspec.ValidationError for what no page of ours asks."""
    return msgspec.convert(asked, Act)


def _acted(done: Acted, *, ahead: bool = False) -> str:
    worth = wording.monies(Money(minor, code) for code, minor in sorted(done.worth.items()))
    counted = f"{wording.count(done.done, 'exception')}, worth {worth}"
    said = f"This concerns {counted}." if ahead else f"Done: {counted}."
    missed = sorted({one.outcome for one in done.outcomes} - {"done"})
    if missed:
        number = sum(one.outcome != "done" for one in done.outcomes)
        said += f" Not {wording.count(number, 'other')}: {', '.join(missed)}."
    return said + (f" {done.left:,} more wait; do it again for them." if done.left else "")


def _hidden(found: Hidden) -> str:
    hides = ", ".join(f"{one.summary} ({one.place or 'everywhere'})" for one in found.hides[:5])
    more = f" and {len(found.hides) - 5:,} more" if len(found.hides) > 5 else ""
    lead = "It would hide" if found.silence_id is None else "Silenced. It hides"
    return f"{lead} {hides}{more}." if hides else f"{lead} nothing that fires now."
