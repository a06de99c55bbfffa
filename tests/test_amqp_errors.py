"""What a client of AMQP is told when it asks for what there is not: RabbitMQ's codes and texts."""

from __future__ import annotations

import pytest

from amqp_clients import PEER, ClosedError, Got, Pika, PyAmqp

pytestmark = pytest.mark.server


def a_queue(client, name, **options):
    client.declare_queue(name, **options)
    return name


def acknowledged(client, tag):
    client.declare_queue(exclusive=True)
    client.ack(Got(b"", "", "", redelivered=False, tag=tag, properties={}))
    client.await_close()


# RabbitMQ 4 closes the channel; those before closed the connection, with 503.
UNKNOWN_TYPE = 406, "PRECONDITION_FAILED - unknown exchange type 'nonsense'"

# What is asked, by a client and with a name that is the test's own; the code; the text, where NAME is that name.
CHANNEL_ERRORS = {
    "consuming from no queue": (
        lambda client, name: client.consume(name),
        404, "NOT_FOUND - no queue 'NAME' in vhost '/'",
    ),
    "getting from no queue": (
        lambda client, name: client.get(name),
        404, "NOT_FOUND - no queue 'NAME' in vhost '/'",
    ),
    "purging no queue": (
        lambda client, name: client.purge(name),
        404, "NOT_FOUND - no queue 'NAME' in vhost '/'",
    ),
    "binding no queue": (
        lambda client, name: client.bind(name, "amq.topic", "#"),
        404, "NOT_FOUND - no queue 'NAME' in vhost '/'",
    ),
    "binding to no exchange": (
        lambda client, name: client.bind(a_queue(client, name), f"{name}.x"),
        404, "NOT_FOUND - no exchange 'NAME.x' in vhost '/'",
    ),
    "binding no exchange": (
        lambda client, name: client.bind_exchange(name, "amq.topic", "#"),
        404, "NOT_FOUND - no exchange 'NAME' in vhost '/'",
    ),
    "publishing to no exchange": (
        lambda client, name: client.publish(name, "key", b"x"),
        404, "NOT_FOUND - no exchange 'NAME' in vhost '/'",
    ),
    "a queue of a reserved name": (
        lambda client, name: client.declare_queue(f"amq.{name}"),
        403, "ACCESS_REFUSED - queue name 'amq.NAME' contains reserved prefix 'amq.*'",
    ),
    "an exchange of a reserved name": (
        lambda client, name: client.declare_exchange(f"amq.{name}"),
        403, "ACCESS_REFUSED - exchange name 'amq.NAME' contains reserved prefix 'amq.*'",
    ),
    "deleting an exchange of the system": (
        lambda client, name: client.delete_exchange("amq.topic"),
        403, "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed",
    ),
    "deleting the default exchange": (
        lambda client, name: client.delete_exchange(""),
        403, "ACCESS_REFUSED - operation not permitted on the default exchange",
    ),
    "binding to the default exchange": (
        lambda client, name: client.bind(a_queue(client, name), "", "key"),
        403, "ACCESS_REFUSED - operation not permitted on the default exchange",
    ),
    "another durability": (
        lambda client, name: client.declare_queue(a_queue(client, name), durable=True),
        406, ("PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'NAME' in vhost '/': "
        "received 'true' but current is 'false'"),
    ),
    "another automatic deletion": (
        lambda client, name: client.declare_queue(a_queue(client, name), auto_delete=True),
        406, ("PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'NAME' in vhost '/': "
        "received 'true' but current is 'false'"),
    ),
    "an argument more": (
        lambda client, name: client.declare_queue(a_queue(client, name), x_message_ttl=5),
        406, ("PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'NAME' in vhost '/': "
        "received the value '5' of type 'TYPE' but current is none"),
    ),
    "another value": (
        lambda client, name: client.declare_queue(
            a_queue(client, name, x_max_length=3), x_max_length=4
        ),
        406, ("PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'NAME' in vhost '/': "
        "received '4' but current is '3'"),
    ),
    "an exchange of another type": (
        lambda client, name: client.declare_exchange("amq.topic", "fanout", durable=True),
        406, ("PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.topic' in vhost '/': "
        "received 'fanout' but current is 'topic'"),
    ),
    "an exchange of an unknown type": (
        lambda client, name: client.declare_exchange(name, "nonsense"),
        *UNKNOWN_TYPE,
    ),
    "a time to live below nothing": (
        lambda client, name: client.declare_queue(name, x_message_ttl=-1),
        406, ("PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'NAME' in vhost '/': "
        "{value_negative,-1}"),
    ),
    "an expiration that is no number": (
        lambda client, name: client.publish("", name, b"", expiration="soon"),
        406, "PRECONDITION_FAILED - invalid expiration 'soon'",
    ),
    "a message of another user": (
        lambda client, name: client.publish("", name, b"", user_id="somebody"),
        406, ("PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was "
        "'guest'"),
    ),
    "acknowledging what was not delivered": (
        lambda client, name: acknowledged(client, 99),
        406, "PRECONDITION_FAILED - unknown delivery tag 99",
    ),
    "a reply to nobody": (
        lambda client, name: client.publish("", name, b"", reply_to="amq.rabbitmq.reply-to"),
        406, "PRECONDITION_FAILED - fast reply consumer does not exist",
    ),
    "replies with acknowledgements": (
        lambda client, name: client.consume("amq.rabbitmq.reply-to"),
        406, "PRECONDITION_FAILED - reply consumer cannot acknowledge",
    ),
    "a quorum queue that does not last": (
        lambda client, name: client.declare_queue(name, x_queue_type="quorum"),
        406, "PRECONDITION_FAILED - invalid property 'non-durable' for queue 'NAME' in vhost '/'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANNEL_ERRORS)
def test_a_channel_is_closed_for(amqp_client, name, what):
    if PEER and "unknown type" in what:
        pytest.skip("a matter of RabbitMQ's version")
    ask, code, text = CHANNEL_ERRORS[what]
    with pytest.raises(ClosedError) as caught:
        ask(amqp_client, name)
    assert caught.value.code == code
    said = caught.value.text
    for kind in ("signedint", "short", "long", "byte", "unsignedbyte", "unsignedint"):
        said = said.replace(f"of type '{kind}'", "of type 'TYPE'")  # as each client encodes it
    assert said.startswith(text.replace("NAME", name))
    amqp_client.open_channel()  # the connection is well
    assert amqp_client.declare_queue(f"{name}.other")[1:] == (0, 0)


def test_a_queue_that_a_channel_error_interrupted_keeps_its_messages(amqp_client, name):
    amqp_client.declare_queue(name)
    for body in (b"0", b"1"):
        amqp_client.publish("", name, body)
    amqp_client.consume(name)
    amqp_client.take(2)
    with pytest.raises(ClosedError):
        amqp_client.declare_queue(f"{name}.none", passive=True)
    amqp_client.open_channel()
    amqp_client.await_count(name, 2)
    assert [(got.body, got.redelivered) for got in amqp_client.get_all(name)] == [
        (b"0", True), (b"1", True),
    ]  # fmt: skip


def test_nobody_publishes_to_an_internal_exchange(amqp_client, name):
    amqp_client.declare_exchange(name, "fanout", internal=True)
    with pytest.raises(ClosedError) as caught:
        amqp_client.publish(name, "", b"x")
    assert (caught.value.code, caught.value.text) == (
        403, f"ACCESS_REFUSED - cannot publish to internal exchange '{name}' in vhost '/'",
    )  # fmt: skip


# What ends the connection


def test_an_unknown_virtual_host_is_not_allowed(amqp_url):
    with pytest.raises(ClosedError) as caught:
        PyAmqp(amqp_url.replace("%2F", "nope"))
    assert (caught.value.code, caught.value.text) == (530, "NOT_ALLOWED - vhost nope not found")


@pytest.mark.parametrize(("client", "mechanism"), [(Pika, "PLAIN"), (PyAmqp, "AMQPLAIN")])
def test_a_wrong_password_is_refused(amqp_url, client, mechanism):
    import amqp
    import pika

    refused = (
        pika.exceptions.ProbableAuthenticationError, pika.exceptions.AuthenticationError,
        amqp.AccessRefused, ClosedError,
    )  # fmt: skip
    with pytest.raises(refused) as caught:
        client(amqp_url.replace("guest:guest", "guest:wrong"))
    expected = (
        f"ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}. "
        "For details see the broker logfile."
    )
    assert expected in str(caught.value)


def test_a_consumer_tag_is_used_once(amqp_url, name):
    with PyAmqp(amqp_url) as client:
        client.declare_queue(name)
        client.consume(name, tag="mine")
        with pytest.raises(ClosedError) as caught:
            client.consume(name, tag="mine")
    assert (caught.value.code, caught.value.text) == (
        530, "NOT_ALLOWED - attempt to reuse consumer tag 'mine'",
    )  # fmt: skip
    assert not client.connection.connected
