"""Orders that the ERP keeps as sales orders, where a channel's terms say so. Decisions only; nothing here does I/O."""

import datetime as dt
from typing import Any, Final, Literal

import msgspec

from sync_core.messages import OrderCaptured
from sync_core.model import Hop, Order
from sync_core.money import cumulative_share
from sync_core.orders.orders import dimensions
from sync_core.orders.windows import terms_of
from sync_core.unit import ForErp, Step

DOCUMENT: Final = "sales_order"
AMENDMENT: Final[Literal["sales_order_amendment"]] = "sales_order_amendment"
CANCELLATION: Final[Literal["sales_order_cancellation"]] = "sales_order_cancellation"


def key(origin: str, order_id: str) -> str:
    """Under which the ERP knows the sales order of an order."""
    return f"{origin}:{DOCUMENT}/{order_id}"


def hand_over(step: Step, order: Order, event: OrderCaptured) -> None:
    """The ERP is to have this order, by the rules' deadline."""
    due_at = step.message.occurred_at + dt.timedelta(minutes=step.rules.deadline_minutes[DOCUMENT])
    one = ForErp(
        document_id=key(order.origin, order.order_id), kind="sales_order", lane=step.rules.lane(DOCUMENT),
        correlation_id=order.correlation_id, origin=order.origin, document=DOCUMENT, entity_id=order.order_id,
        channel=order.channel, location=order.location, currency=order.currency, worth_minor=order.amount_minor,
        due_at=due_at, body=_body(step, order, event),
    )  # fmt: skip
    step.unit.for_erp.append((one, step.message, step.clock_offset))
    about = {"due_at": due_at, "owner": "integration", "amount_minor": order.amount_minor}
    step.tell(
        Hop(
            "order.erp_awaited", "queue", order.correlation_id, order.origin, "order", order.order_id, "erp_awaited",
            attributes=dimensions(order) | about,
        )
    )  # fmt: skip


def amend(step: Step, order: Order, why: str) -> None:
    """The ERP is told what an order is after a change; of several the one with the highest ``version`` holds."""
    if not terms_of(step, order.channel).sales_orders:
        return
    version = sum(1 for identity, *_ in step.unit.order_documents if identity == order.correlation_id)
    kept = [(line, line.quantity - line.cancelled) for line in step.unit.lines[order.correlation_id]]
    body = {
        "idempotency_key": f"{_amendments(order)}{version:06}", "sales_order": key(order.origin, order.order_id),
        "version": version, "business_date": step.message.business_date, "reason": why, "currency": order.currency,
        "amount_minor": order.amount_minor, "tax_minor": order.tax_minor,
        "lines": [
            {"sku": line.sku, "kind": line.kind, "quantity": units,
             "amount_minor": cumulative_share(line.amount_minor, line.cancelled, units, line.quantity)}
            for line, units in kept if units
        ],
    }  # fmt: skip
    _hand_over(step, order, AMENDMENT, body, "order.amend")


def take_back(step: Step, order: Order, cancellation_id: str) -> None:
    """Keep from the ERP an order that it has not been offered yet; of one that it may have it is told."""
    if not terms_of(step, order.channel).sales_orders:
        return
    held, reason = key(order.origin, order.order_id), f"cancelled by {cancellation_id}"
    document_id = f"{order.origin}:{CANCELLATION}/{order.order_id}"
    body = {"idempotency_key": document_id, "sales_order": held, "business_date": step.message.business_date,
            "reason": reason}  # fmt: skip
    _hand_over(step, order, CANCELLATION, body, "order.withdraw")
    values = {"document_id": held, "cancellation_id": document_id, "amendments": _amendments(order), "reason": reason}
    step.unit.settings.append(("withdraw_document", values))


def _amendments(order: Order) -> str:
    """How the keys of an order's amendments begin."""
    return f"{order.origin}:{AMENDMENT}/{order.order_id}/"


def _hand_over(
    step: Step, order: Order, kind: Literal["sales_order_amendment", "sales_order_cancellation"],
    body: dict[str, Any], hop: str,
) -> None:  # fmt: skip
    """The ERP is to hear of what became of an order, by the rules' deadline."""
    due_at = step.message.occurred_at + dt.timedelta(minutes=step.rules.deadline_minutes[kind])
    one = ForErp(
        document_id=body["idempotency_key"], kind=kind, lane=step.rules.lane(kind),
        correlation_id=order.correlation_id, origin=order.origin, document=kind, entity_id=order.order_id,
        channel=order.channel, location=order.location, currency=order.currency, worth_minor=order.amount_minor,
        due_at=due_at, body=msgspec.json.encode(body),
    )  # fmt: skip
    step.unit.for_erp.append((one, step.message, step.clock_offset))
    about = {"due_at": due_at, "owner": "integration", "amount_minor": order.amount_minor, "reason": body["reason"]}
    step.tell(
        Hop(hop, "queue", order.correlation_id, order.origin, "order", order.order_id,
            attributes=dimensions(order) | about)
    )  # fmt: skip


def _body(step: Step, order: Order, event: OrderCaptured) -> bytes:
    return msgspec.json.encode(
        {
            "idempotency_key": key(order.origin, order.order_id),
            "order_id": order.order_id,
            "channel": order.channel,
            "location": order.location,
            "customer_ref": event.customer_ref,
            "business_date": step.message.business_date,
            "currency": order.currency,
            "lines": [
                {"sku": line.sku, "kind": line.kind, "quantity": line.quantity, "amount_minor": line.amount_minor}
                for line in event.lines
            ],
        }
    )
