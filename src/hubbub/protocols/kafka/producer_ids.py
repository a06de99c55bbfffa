"""InitProducerId (22): an identity for an idempotent producer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.protocols.kafka.refusal import Refusal, attempt
from hubbub.protocols.kafka.versions import INIT_PRODUCER_ID

if TYPE_CHECKING:
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

_NONE = -1
_FIRST_EPOCH = 0


def handle(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answer with a new id, also to a producer that has one.

    Kafka's coordinator raises the epoch of an id only for transactional producers; idempotent ones
    raise their own (KIP-360).
    """
    allocated = attempt(_allocate, context, request)
    if isinstance(allocated, Refusal):
        reply(_response(context, allocated.code, _NONE, _NONE))
        return

    def durable(failure: Exception | None) -> None:
        if failure is None:
            reply(_response(context, ErrorCode.none, allocated, _FIRST_EPOCH))
        else:
            reply(_response(context, ErrorCode.kafka_storage_error, _NONE, _NONE))

    # A block of ids lost in a crash would be given away a second time.
    context.broker.identity.when_durable(durable)


def _response(context: RequestContext, code: ErrorCode, producer_id: int, epoch: int) -> Any:
    return context.make(
        "InitProducerIdResponse", error_code=code, producer_id=producer_id, producer_epoch=epoch
    )


def _allocate(context: RequestContext, request: Any) -> int:
    producer_id = getattr(request, "producer_id", _NONE)
    producer_epoch = getattr(request, "producer_epoch", _NONE)
    if (producer_id == _NONE) != (producer_epoch == _NONE) or request.transactional_id == "":
        raise Refusal(ErrorCode.invalid_request, "The producer's id and epoch come together.")
    if request.transactional_id is not None:
        # There are no transactions, so no principal may begin one. Clients take this for final;
        # librdkafka tries again for ever on UNSUPPORTED_VERSION, and all do without a coordinator.
        raise Refusal(
            ErrorCode.transactional_id_authorization_failed, "Transactions are not supported."
        )
    return context.broker.identity.allocate_producer_id()


HANDLERS: dict[int, Handler] = {INIT_PRODUCER_ID: handle}
