"""Reason codes (MQTT 5 section 2.4), and what stands for them in the versions before."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Why; from 0x80 on, why not."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E


# Return codes of CONNACK before version 5 (3.1.1 section 3.2.2.3). For anything else the connection
# is closed without one.
RETURN_CODES = {
    Reason.SUCCESS: 0,
    Reason.UNSUPPORTED_PROTOCOL_VERSION: 1,
    Reason.CLIENT_IDENTIFIER_NOT_VALID: 2,
    Reason.SERVER_UNAVAILABLE: 3,
    Reason.SERVER_BUSY: 3,
    Reason.QUOTA_EXCEEDED: 3,
    Reason.BAD_USER_NAME_OR_PASSWORD: 4,
    Reason.BAD_AUTHENTICATION_METHOD: 4,
    Reason.NOT_AUTHORIZED: 5,
}


class MqttError(Exception):
    """What a client sent breaks a rule; the connection ends with ``reason``."""

    def __init__(self, reason: Reason, text: str, *, quiet: bool = False) -> None:
        super().__init__(text)
        self.reason = reason
        self.quiet = quiet  # nothing is said


def malformed(text: str) -> MqttError:
    """The bytes are no packet (section 1.2, Malformed Packet)."""
    return MqttError(Reason.MALFORMED_PACKET, text)


def protocol_error(text: str) -> MqttError:
    """The packet is not allowed here, or not in this state (section 1.2, Protocol Error)."""
    return MqttError(Reason.PROTOCOL_ERROR, text)


def quiet_error(text: str) -> MqttError:
    """A Protocol Error of a client that has lost its place, and is told nothing.

    Section 4.13.1 leaves that to the server, and mosquitto does the same.
    """
    return MqttError(Reason.PROTOCOL_ERROR, text, quiet=True)
