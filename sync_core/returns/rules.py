"""What channels promise about returns, and what senders' reasons mean. Decisions only; nothing here does I/O."""

import msgspec

from sync_core.returns.messages import ReturnPolicySet, ReturnReasonMapped
from sync_core.returns.returns import reason_identity
from sync_core.unit import DONE, Step, Verdict


def set_policy(step: Step, event: ReturnPolicySet) -> Verdict:
    """From the next request on."""
    values = msgspec.structs.asdict(event) | {"at": step.message.occurred_at}
    step.unit.settings.append(("set_return_policy", values))
    return DONE


def map_reason(step: Step, event: ReturnReasonMapped) -> Verdict:
    """From the next request on; that nobody knew the code is settled."""
    values = msgspec.structs.asdict(event) | {"at": step.message.occurred_at}
    step.unit.settings.append(("map_return_reason", values))
    step.resolve_exceptions(
        reason_identity(event.origin, event.code), event.origin, "return_reason_unmapped", f"it means {event.reason}"
    )
    return DONE
