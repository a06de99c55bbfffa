"""What a request for WebSocket is answered (RFC 6455 section 4.2), and which web pages may ask."""

from __future__ import annotations

import ipaddress
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from picows import WSUpgradeResponse

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from multidict import CIMultiDict

_VERSION = "13"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
ANY_ORIGIN = "*"


class Refused(Exception):  # noqa: N818 - it is the answer, not a mistake of ours
    """No WebSocket for this request: the answer instead, which says why."""

    def __init__(self, status: HTTPStatus, reason: str, *headers: tuple[str, str]) -> None:
        super().__init__(reason)
        self.response: WSUpgradeResponse = WSUpgradeResponse.create_error_response(
            status, f"{reason}\n".encode(), headers
        )


class Terms(NamedTuple):
    """What a listener asks of those who come by WebSocket.

    Any web page may have a browser connect to this machine, and nobody else can tell the user from
    the page. So pages are let in by their origin: without ``origins``, those of this machine.
    """

    subprotocols: Sequence[str]  # in the order of preference
    origins: Collection[str] | None

    def answer(self, headers: CIMultiDict[str]) -> WSUpgradeResponse:
        """The response that accepts. Raises Refused."""
        self._check_upgrade(headers)
        self._check_origin(headers)
        offered = _tokens(headers, "Sec-WebSocket-Protocol")
        for subprotocol in self.subprotocols:
            if subprotocol in offered:
                chosen = [("Sec-WebSocket-Protocol", subprotocol)]
                accepted: WSUpgradeResponse = WSUpgradeResponse.create_101_response(chosen)
                return accepted
        wanted = " or ".join(self.subprotocols)
        raise Refused(HTTPStatus.BAD_REQUEST, f"offer {wanted} in Sec-WebSocket-Protocol")

    def _check_upgrade(self, headers: CIMultiDict[str]) -> None:
        if "websocket" not in map(str.lower, _tokens(headers, "Upgrade")):
            upgrade = ("Upgrade", "websocket")
            raise Refused(HTTPStatus.UPGRADE_REQUIRED, "this port speaks WebSocket", upgrade)
        if headers.getall("Sec-WebSocket-Version", []) != [_VERSION]:
            version = ("Sec-WebSocket-Version", _VERSION)
            raise Refused(HTTPStatus.UPGRADE_REQUIRED, f"this is WebSocket {_VERSION}", version)
        if len(headers.getall("Host", [])) != 1:
            raise Refused(HTTPStatus.BAD_REQUEST, "a request has one Host")
        # Firefox says "keep-alive, Upgrade", of which picows takes the second word only.
        if "upgrade" in map(str.lower, _tokens(headers, "Connection")):
            headers["Connection"] = "Upgrade"

    def _check_origin(self, headers: CIMultiDict[str]) -> None:
        origins = headers.getall("Origin", [])
        if not origins:  # no browser
            return
        if len(origins) == 1:
            if self.origins is None:
                if _is_of_this_machine(origins[0], headers["Host"]):
                    return
            elif ANY_ORIGIN in self.origins or origins[0].lower() in self.origins:
                return
        raise Refused(HTTPStatus.FORBIDDEN, "web pages of this origin may not connect")


def _tokens(headers: CIMultiDict[str], name: str) -> list[str]:
    return [word.strip() for value in headers.getall(name, []) for word in value.split(",")]


def _is_of_this_machine(origin: str, host: str) -> bool:
    """Whether a page comes from loopback or from the address that it connects to.

    An address only: a name that is the same may be one that the page's owner has pointed here.
    """
    origin_host = _host_of(origin)
    if origin_host in _LOOPBACK:
        return True
    try:
        ipaddress.ip_address(origin_host)
    except ValueError:
        return False
    return origin_host == _host_of(f"//{host}")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
