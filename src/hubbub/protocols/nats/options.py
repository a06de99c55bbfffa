"""What a client says of itself in CONNECT, laid over what it said before."""

from __future__ import annotations

import msgspec

# The newest version of the client protocol: 1 tells us that asynchronous INFO is understood.
NEWEST_PROTOCOL = 1


class Options(msgspec.Struct):
    """The fields of CONNECT that mean something here, with the server's own defaults."""

    verbose: bool = True
    pedantic: bool = True
    echo: bool = True
    headers: bool = False
    no_responders: bool = False
    protocol: int = 0
    name: str = ""
    lang: str = ""
    version: str = ""
    user: str = ""
    password: str = ""
    auth_token: str = ""
    account: str = ""


# Under the names of the wire; Python keeps "pass" for itself.
_NAMES = {"pass" if name == "password" else name: name for name in Options.__struct_fields__}


def merged(options: Options, text: bytes) -> Options:
    """``options`` with what the JSON of a CONNECT says; null and what is left out change nothing.

    Names are found in any case of letters, as Go's decoder does. Raises ValueError.
    """
    try:
        said = msgspec.json.decode(text, type=dict[str, object] | None) or {}
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    changes = {
        _NAMES[name.lower()]: value
        for name, value in said.items()
        if name.lower() in _NAMES and value is not None
    }
    return msgspec.convert({**msgspec.structs.asdict(options), **changes}, Options)
