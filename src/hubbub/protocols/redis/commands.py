"""The table of commands: name, arity, flags and ACL categories as in Redis 7.4, and the handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.redis import (
    administration,
    client_commands,
    connection,
    info,
    introspection,
    pubsub,
    transaction,
)
from hubbub.protocols.redis.command import Command, CommandTable

if TYPE_CHECKING:
    from hubbub.protocols.redis.command import Handler

_ANYTIME = "loading stale"
_QUIET = f"noscript {_ANYTIME}"
_FIRST = f"{_QUIET} fast no_auth allow_busy"  # allowed before authentication
_ADMIN = f"admin {_QUIET}"
_FAST_CONNECTION = "@fast @connection"
_SLOW_CONNECTION = "@slow @connection"
_DANGEROUS = "@admin @slow @dangerous"


def _container(
    name: str, since: str, group: str, summary: str, subcommands: tuple[Command, ...]
) -> Command:
    """A command that is nothing without a subcommand, and knows HELP."""
    return Command(
        name, -2, "", "@slow", since, group, summary, introspection.help_,
        subcommands=_by_own_name(name, since, group, subcommands),
    )  # fmt: skip


def _by_own_name(
    container: str, since: str, group: str, subcommands: tuple[Command, ...]
) -> dict[bytes, Command]:
    own_help = Command(
        f"{container}|help", 2, _ANYTIME, "@slow", since, group, "Print this help.",
        introspection.help_,
    )  # fmt: skip
    return {each.own_name.encode(): each for each in (*subcommands, own_help)}


def _client(
    name: str,
    arity: int,
    since: str,
    usage: str,
    summary: str,
    run: Handler,
    *,
    admin: bool = False,
) -> Command:
    flags, categories = (
        (_ADMIN, f"{_DANGEROUS} @connection") if admin else (_QUIET, _SLOW_CONNECTION)
    )
    return Command(
        f"client|{name}", arity, flags, categories, since, "connection", summary, run, usage
    )


def _config(name: str, arity: int, since: str, usage: str, summary: str, run: Handler) -> Command:
    return Command(
        f"config|{name}", arity, _ADMIN, _DANGEROUS, since, "server", summary, run, usage
    )


def _pubsub(name: str, arity: int, since: str, usage: str, summary: str, run: Handler) -> Command:
    return Command(
        f"pubsub|{name}", arity, f"pubsub {_ANYTIME}", "@pubsub @slow", since, "pubsub", summary,
        run, usage,
    )  # fmt: skip


def _command(name: str, arity: int, since: str, usage: str, summary: str, run: Handler) -> Command:
    return Command(
        f"command|{name}", arity, _ANYTIME, _SLOW_CONNECTION, since, "server", summary, run, usage
    )


_CLIENT = (
    _client("caching", 3, "6.0.0", "YES|NO", "Answer that nothing is tracked.",
            client_commands.client_caching),
    _client("getname", 2, "2.6.9", "", "Return the name of this connection.",
            client_commands.client_getname),
    _client("getredir", 2, "6.0.0", "", "Return -1, as nothing is tracked.",
            client_commands.client_getredir),
    _client("id", 2, "5.0.0", "", "Return the id of this connection.", client_commands.client_id),
    _client("info", 2, "6.2.0", "", "Describe this connection.", client_commands.client_info),
    _client("kill", -3, "2.4.0",
            "<ip:port> | [ID id] [ADDR ip:port] [LADDR ip:port] [TYPE type] [USER user]"
            " [SKIPME yes|no] [MAXAGE seconds]",
            "Close the connections that match.", client_commands.client_kill, admin=True),
    _client("list", -2, "2.4.0", "[TYPE normal|master|replica|pubsub] [ID id [id ...]]",
            "Describe the connections.", client_commands.client_list, admin=True),
    _client("no-evict", 3, "7.0.0", "ON|OFF", "Keep this connection, as happens anyway.",
            client_commands.client_no_evict, admin=True),
    _client("no-touch", 3, "7.2.0", "ON|OFF", "Leave the last use of keys alone; there are none.",
            client_commands.client_no_touch),
    _client("reply", 3, "3.2.0", "ON|OFF|SKIP", "Choose which replies this connection gets.",
            client_commands.client_reply),
    _client("setinfo", 4, "7.2.0", "LIB-NAME <name> | LIB-VER <version>",
            "Say which library uses this connection.", client_commands.client_setinfo),
    _client("setname", 3, "2.6.9", "<name>", "Name this connection.",
            client_commands.client_setname),
    _client("tracking", -3, "6.0.0", "OFF", "Switch tracking off, as it is anyway.",
            client_commands.client_tracking),
    _client("trackinginfo", 2, "6.2.0", "", "Tell that tracking is off.",
            client_commands.client_trackinginfo),
    _client("unblock", -3, "5.0.0", "<id> [TIMEOUT|ERROR]", "Unblock a client; none ever blocks.",
            client_commands.client_unblock, admin=True),
)  # fmt: skip

_COMMAND = (
    _command("count", 2, "2.8.13", "", "Return the number of commands.",
             introspection.command_count),
    _command("docs", -2, "7.0.0", "[name ...]", "Return documentation of commands.",
             introspection.command_docs),
    _command("getkeys", -3, "2.8.13", "<command> [arg ...]", "Return the keys in a command.",
             introspection.command_getkeys),
    _command("getkeysandflags", -3, "7.0.0", "<command> [arg ...]",
             "Return the keys in a command and what it does to them.",
             introspection.command_getkeys),
    _command("info", -2, "2.8.13", "[name ...]", "Return details of commands.",
             introspection.command_info),
    _command("list", -2, "7.0.0", "[FILTERBY MODULE|ACLCAT|PATTERN <value>]",
             "Return the names of commands.", introspection.command_list),
)  # fmt: skip

_CONFIG = (
    _config("get", -3, "2.0.0", "<pattern> [pattern ...]", "Return parameters by glob.",
            administration.config_get),
    _config("resetstat", 2, "2.0.0", "", "Zero the counters of INFO.",
            administration.config_resetstat),
    _config("rewrite", 2, "2.8.0", "", "Write the configuration file; there is none.",
            administration.config_rewrite),
    _config("set", -4, "2.0.0", "<parameter> <value> [parameter value ...]", "Change parameters.",
            administration.config_set),
)  # fmt: skip

_FUNCTION = (
    Command("function|flush", -2, "write noscript", "@write @slow @scripting", "7.0.0", "scripting",
            "Remove all functions, of which there are none.", administration.function_flush,
            "[ASYNC|SYNC]"),
    Command("function|list", -2, "noscript", "@slow @scripting", "7.0.0", "scripting",
            "Return the functions, of which there are none.", administration.function_list,
            "[LIBRARYNAME <pattern>] [WITHCODE]"),
)  # fmt: skip

_PUBSUB = (
    _pubsub("channels", -2, "2.8.0", "[pattern]", "Return channels that have subscribers.",
            pubsub.pubsub_channels),
    _pubsub("numpat", 2, "2.8.0", "", "Return the number of different patterns.",
            pubsub.pubsub_numpat),
    _pubsub("numsub", -2, "2.8.0", "[channel ...]", "Return subscribers by channel.",
            pubsub.pubsub_numsub),
    _pubsub("shardchannels", -2, "7.0.0", "[pattern]",
            "Return sharded channels that have subscribers.", pubsub.pubsub_shardchannels),
    _pubsub("shardnumsub", -2, "7.0.0", "[shardchannel ...]",
            "Return subscribers by sharded channel.", pubsub.pubsub_shardnumsub),
)  # fmt: skip

COMMANDS = CommandTable((
    # Connection
    Command("auth", -2, _FIRST, _FAST_CONNECTION, "1.0.0", "connection",
            "Authenticates the connection.", connection.auth),
    _container("client", "2.4.0", "connection", "Commands about connections.", _CLIENT),
    Command("echo", 2, f"{_ANYTIME} fast", _FAST_CONNECTION, "1.0.0", "connection",
            "Returns its argument.", connection.echo),
    Command("hello", -1, _FIRST, _FAST_CONNECTION, "6.0.0", "connection",
            "Chooses the protocol version and introduces both sides.", connection.hello),
    Command("ping", -1, "fast", _FAST_CONNECTION, "1.0.0", "connection",
            "Answers, so that the client knows that somebody does.", connection.ping),
    Command("quit", -1, _FIRST, _FAST_CONNECTION, "1.0.0", "connection",
            "Closes the connection.", connection.quit_),
    Command("reset", 1, _FIRST, _FAST_CONNECTION, "6.2.0", "connection",
            "Makes the connection as it was at first.", connection.reset),
    Command("select", 2, f"{_ANYTIME} fast", _FAST_CONNECTION, "1.0.0", "connection",
            "Chooses one of the databases, all of which are empty.", connection.select),
    # Pub/Sub
    Command("psubscribe", -2, f"pubsub {_QUIET}", "@pubsub @slow", "2.0.0", "pubsub",
            "Subscribes to the channels that match a glob.", pubsub.psubscribe),
    Command("publish", 3, f"pubsub {_ANYTIME} fast", "@pubsub @fast", "2.0.0", "pubsub",
            "Publishes a message to a channel.", pubsub.publish),
    _container("pubsub", "2.8.0", "pubsub", "Commands about subscriptions.", _PUBSUB),
    Command("punsubscribe", -1, f"pubsub {_QUIET}", "@pubsub @slow", "2.0.0", "pubsub",
            "Unsubscribes from globs, from all without an argument.", pubsub.punsubscribe),
    Command("spublish", 3, f"pubsub {_ANYTIME} fast", "@pubsub @fast", "7.0.0", "pubsub",
            "Publishes a message to a sharded channel.", pubsub.spublish, channels=(1, 1, 1)),
    Command("ssubscribe", -2, f"pubsub {_QUIET}", "@pubsub @slow", "7.0.0", "pubsub",
            "Subscribes to sharded channels.", pubsub.ssubscribe, channels=(1, -1, 1)),
    Command("subscribe", -2, f"pubsub {_QUIET}", "@pubsub @slow", "2.0.0", "pubsub",
            "Subscribes to channels.", pubsub.subscribe),
    Command("sunsubscribe", -1, f"pubsub {_QUIET}", "@pubsub @slow", "7.0.0", "pubsub",
            "Unsubscribes from sharded channels, from all without an argument.",
            pubsub.sunsubscribe, channels=(1, -1, 1)),
    Command("unsubscribe", -1, f"pubsub {_QUIET}", "@pubsub @slow", "2.0.0", "pubsub",
            "Unsubscribes from channels, from all without an argument.", pubsub.unsubscribe),
    # Transactions
    Command("discard", 1, f"{_QUIET} fast allow_busy", "@fast @transaction", "2.0.0",
            "transactions", "Forgets the queued commands.", transaction.discard),
    Command("exec", 1, f"{_QUIET} skip_slowlog", "@slow @transaction", "1.2.0", "transactions",
            "Runs the queued commands.", transaction.execute),
    Command("multi", 1, f"{_QUIET} fast allow_busy", "@fast @transaction", "1.2.0",
            "transactions", "Queues the commands that follow.", transaction.multi),
    # Server
    Command("cluster", -2, "", "@slow", "3.0.0", "cluster",
            "Answers that there is no cluster.", administration.no_cluster),
    Command("command", -1, _ANYTIME, _SLOW_CONNECTION, "2.8.13", "server",
            "Returns details of every command.", introspection.command,
            subcommands=_by_own_name("command", "2.8.13", "server", _COMMAND)),
    _container("config", "2.0.0", "server", "Commands about the configuration.", _CONFIG),
    Command("dbsize", 1, "readonly fast", "@keyspace @read @fast", "1.0.0", "server",
            "Returns the number of keys.", administration.dbsize),
    Command("debug", -2, _ADMIN, _DANGEROUS, "1.0.0", "server",
            "Answers that debugging is not allowed.", administration.no_debug),
    Command("flushall", -1, "write", "@keyspace @write @slow @dangerous", "1.0.0", "server",
            "Removes all keys, of which there are none.", administration.flush),
    Command("flushdb", -1, "write", "@keyspace @write @slow @dangerous", "1.0.0", "server",
            "Removes all keys of the database, of which there are none.", administration.flush),
    _container("function", "7.0.0", "scripting", "Commands about functions.", _FUNCTION),
    Command("info", -1, _ANYTIME, "@slow @dangerous", "1.0.0", "server",
            "Returns figures about the server.", info.info),
    Command("readonly", 1, f"{_ANYTIME} fast", _FAST_CONNECTION, "3.0.0", "cluster",
            "Answers that there is no cluster.", administration.no_cluster),
    Command("readwrite", 1, f"{_ANYTIME} fast", _FAST_CONNECTION, "3.0.0", "cluster",
            "Answers that there is no cluster.", administration.no_cluster),
    Command("role", 1, f"{_QUIET} fast", "@admin @fast @dangerous", "2.8.12", "server",
            "Tells that this is a master without replicas.", administration.role),
    Command("time", 1, f"{_ANYTIME} fast", "@fast", "2.6.0", "server",
            "Returns the server's time.", administration.time),
    Command("wait", 3, "noscript", _SLOW_CONNECTION, "3.0.0", "generic",
            "Returns the number of replicas that have it all, which is 0.", administration.wait),
))  # fmt: skip
