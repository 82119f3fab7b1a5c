"""What a business day came to at its source, against which it is reconciled. Decisions only; nothing here does I/O."""

import msgspec

from collector.semconv import correlation_id
from sync_core.messages import ControlTotalStated
from sync_core.model import Hop
from sync_core.unit import DONE, Step, Verdict


def state(step: Step, event: ControlTotalStated) -> Verdict:
    """Keep a control total: its day is reconciled with it."""
    documents = [
        {"number": one.number, "identity": correlation_id(event.origin, one.number).hex(),
         "amount_minor": one.amount_minor, "tax_minor": one.tax_minor}
        for one in event.documents
    ]  # fmt: skip
    names = ("origin", "kind", "business_date", "channel", "provider", "location", "currency", "document_id", "count",
             "amount_minor", "tax_minor")  # fmt: skip
    values = {name: getattr(event, name) for name in names}
    values |= {"stated_at": step.message.occurred_at, "documents": msgspec.json.encode(documents).decode()}
    step.unit.settings.append(("save_control_total", values))
    step.unit.days.add(event.business_date)
    about = {"channel": event.channel, "provider": event.provider, "location": event.location,
             "currency": event.currency, "amount_minor": event.amount_minor, "quantity": event.count}  # fmt: skip
    step.tell(
        Hop("posting.control", "source", correlation_id(event.origin, event.document_id), event.origin,
            "control_total", event.document_id, occurred_at=step.message.occurred_at, attributes=about)
    )  # fmt: skip
    return DONE
