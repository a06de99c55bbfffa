"""Where replicas may be on a cluster of one broker: on that broker, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kio.schema.errors import ErrorCode

from hubbub.protocols.kafka.lookup import duplicates
from hubbub.protocols.kafka.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLICATION_FACTOR = 1


def check_replicas(replicas: Sequence[int], node_id: int) -> None:
    """Refuse a manual assignment of one partition that is not to this broker."""
    if not replicas:
        raise _bad_assignment("The manual partition assignment includes an empty replica list.")
    for replica in replicas:
        if replica != node_id:
            raise _bad_assignment(
                f"The manual partition assignment includes broker {replica}, but no such broker is"
                " registered."
            )
    if len(replicas) > REPLICATION_FACTOR:
        raise _bad_assignment(
            f"The manual partition assignment includes the broker {node_id} more than once."
        )


def check_replication_factor(factor: int) -> None:
    """Refuse a number of replicas that one broker cannot hold; -1 asks for the default."""
    if factor < -1 or factor == 0:
        raise Refusal(
            ErrorCode.invalid_replication_factor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    if factor > REPLICATION_FACTOR:
        raise Refusal(
            ErrorCode.invalid_replication_factor,
            f"Unable to replicate the partition {factor} time(s): The target replication factor of"
            f" {factor} cannot be reached because only 1 broker(s) are registered.",
        )


def check_assignments(assignments: Sequence[tuple[int, Sequence[int]]], node_id: int) -> None:
    """Refuse a manual assignment, of partitions to replicas, that this broker cannot follow."""
    for index in duplicates(index for index, _ in assignments):
        raise _bad_assignment(f"Found multiple manual partition assignments for partition {index}")
    for _, replicas in assignments:
        check_replicas(replicas, node_id)
    if {index for index, _ in assignments} != set(range(len(assignments))):
        raise _bad_assignment("partitions should be a consecutive 0-based integer sequence")


def _bad_assignment(message: str) -> Refusal:
    return Refusal(ErrorCode.invalid_replica_assignment, message)
