"""Orders that the ERP keeps as sales orders, where a channel's terms say so. Decisions only; nothing here does I/O."""

import datetime as dt
from typing import Final

import msgspec

from sync_core.messages import OrderCaptured
from sync_core.model import Hop, Order
from sync_core.orders.orders import dimensions
from sync_core.orders.windows import terms_of
from sync_core.unit import ForErp, Step

DOCUMENT: Final = "sales_order"
CANCELLATION: Final = "sales_order_cancellation"


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


def take_back(step: Step, order: Order, cancellation_id: str) -> None:
    """Keep from the ERP an order that it has not been offered yet; of one that it may have it is told."""
    if not terms_of(step, order.channel).sales_orders:
        return
    held, reason = key(order.origin, order.order_id), f"cancelled by {cancellation_id}"
    document_id = f"{order.origin}:{CANCELLATION}/{order.order_id}"
    due_at = step.message.occurred_at + dt.timedelta(minutes=step.rules.deadline_minutes[CANCELLATION])
    body = {"idempotency_key": document_id, "sales_order": held, "business_date": step.message.business_date,
            "reason": reason}  # fmt: skip
    one = ForErp(
        document_id=document_id, kind="sales_order_cancellation", lane=step.rules.lane(CANCELLATION),
        correlation_id=order.correlation_id, origin=order.origin, document=CANCELLATION, entity_id=order.order_id,
        channel=order.channel, location=order.location, currency=order.currency, worth_minor=order.amount_minor,
        due_at=due_at, body=msgspec.json.encode(body),
    )  # fmt: skip
    step.unit.for_erp.append((one, step.message, step.clock_offset))
    about = {"due_at": due_at, "owner": "integration", "amount_minor": order.amount_minor, "reason": reason}
    step.tell(
        Hop("order.withdraw", "queue", order.correlation_id, order.origin, "order", order.order_id,
            attributes=dimensions(order) | about)
    )  # fmt: skip
    values = {"document_id": held, "cancellation_id": document_id, "reason": reason}
    step.unit.settings.append(("withdraw_document", values))


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
