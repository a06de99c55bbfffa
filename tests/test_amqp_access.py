"""Who may do what on AMQP: asked before a message is put anywhere, and on every way out."""

from __future__ import annotations

import pytest

from amqp_session_double import Connection, amqp_listener
from hubbub.broker.observer import Subscriber
from hubbub.model.address import Address
from hubbub.model.message import Message
from hubbub.model.pattern import Exact


class Deny:
    """Lets a user do all but some things at some addresses; nobody else may do anything."""

    def __init__(self, *denied):
        self.denied = set(denied)

    def may(self, principal, action, target):
        name = getattr(target, "address", target)
        return principal == "guest" and (action, str(name)) not in self.denied


def opened(*denied):
    listener = amqp_listener(access=Deny(*denied))
    return listener, Connection(listener).channel()


def closed_with(channel):
    last = channel.read()[-1]
    return last.args.reply_code if last.name == "channel.close" else None


def bodies(channel):
    return [each.body for each in channel.read() if hasattr(each, "body")]


# --- publishing ---------------------------------------------------------------------------------


def test_a_copy_needs_leave_as_the_message_does():
    listener, channel = opened(("publish", "other"))
    channel.queue("q")
    channel.queue("other")
    channel.publish("q", headers={"CC": ["other"]})
    assert closed_with(channel) == 403
    assert [queue.ready for queue in listener.vhosts["/"].queues.values()] == [0, 0]


# --- what a queue hands out ---------------------------------------------------------------------


def test_a_consumer_gets_what_its_user_may_receive_and_the_rest_stays():
    listener, channel = opened(("receive", "secret"))
    channel.queue()
    for key in ("secret", "open"):
        channel.ask("queue.bind", queue="q", exchange="amq.topic", routing_key=key)
    channel.consume(no_ack=True)
    channel.publish("secret", b"1", "amq.topic")
    channel.publish("open", b"2", "amq.topic")
    assert bodies(channel) == [b"2"]
    queue = listener.vhosts["/"].queues["q"]
    assert queue.ready == 1
    listener.broker.access.denied.clear()
    other = Connection(listener).channel()
    other.consume(no_ack=True)
    assert bodies(other) == [b"1"]


@pytest.mark.parametrize(
    ("exchange", "key", "address"),
    [
        ("", "q", "q"),
        ("amq.topic", "a.b", "a.b"),
        ("amq.direct", "k", "amq.direct.k"),
        ("all", "k", "all"),
    ],
)
def test_a_message_is_received_at_the_address_that_it_was_published_to(exchange, key, address):
    _, channel = opened(("receive", address))
    channel.queue()
    channel.ask("exchange.declare", exchange="all", type="fanout")
    if exchange:
        channel.ask("queue.bind", queue="q", exchange=exchange, routing_key=key)
    channel.publish(key, exchange=exchange)
    assert channel.get().name == "basic.get-empty"
    channel.connection.listener.broker.access.denied.clear()
    assert channel.get().name == "basic.get-ok"


def test_get_looks_past_what_its_user_may_not_receive():
    listener, channel = opened(("receive", "secret"))
    channel.queue()
    channel.ask("queue.bind", queue="q", exchange="amq.topic", routing_key="#")
    for key, body in (("secret", b"1"), ("open", b"2"), ("secret", b"3")):
        channel.publish(key, body, "amq.topic")
    assert channel.get(no_ack=True).body == b"2"
    assert channel.get(no_ack=True).name == "basic.get-empty"
    listener.broker.access.denied.clear()
    assert [channel.get(no_ack=True).body for _ in "13"] == [b"1", b"3"]


def test_a_stream_shows_what_its_reader_may_receive():
    _, channel = opened(("receive", "secret"))
    channel.queue(durable=True, x_queue_type="stream")
    channel.ask("queue.bind", queue="q", exchange="amq.topic", routing_key="#")
    channel.publish("secret", b"1", "amq.topic")
    channel.publish("open", b"2", "amq.topic")
    channel.ask("basic.qos", prefetch_count=10)
    channel.consume(x_stream_offset="first")
    assert bodies(channel) == [b"2"]


def test_a_dead_letter_is_no_way_round_what_one_may_not_receive():
    listener, channel = opened(("receive", "secret"))
    channel.queue("letters")
    channel.queue(x_dead_letter_exchange="", x_dead_letter_routing_key="letters", x_message_ttl=0)
    channel.ask("queue.bind", queue="q", exchange="amq.topic", routing_key="#")
    channel.publish("secret", b"1", "amq.topic")
    channel.publish("open", b"2", "amq.topic")
    channel.consume("letters", no_ack=True)
    assert bodies(channel) == [b"2"]
    assert listener.vhosts["/"].queues["letters"].ready == 1


@pytest.mark.parametrize("keys", [[1], [None], [["deep"]], [], "text", [b"open", 2]])
def test_a_death_that_a_client_made_up_holds_up_no_queue(keys):
    _, channel = opened(("receive", "secret"))
    channel.queue()
    channel.consume(no_ack=True)
    channel.publish("q", b"1", headers={"x-death": [{"exchange": "", "routing-keys": keys}]})
    channel.publish("q", b"2")
    assert bodies(channel) == [b"1", b"2"]


def test_an_answer_comes_to_who_asked_whatever_its_name():
    listener = amqp_listener(access=Deny())
    channel = Connection(listener).channel()
    channel.consume("amq.rabbitmq.reply-to", no_ack=True)
    [name] = listener.reply_queues
    listener.broker.access.denied.add(("receive", name.decode()))
    channel.publish(name.decode(), b"answer")
    assert bodies(channel) == [b"answer"]


def test_another_virtual_host_has_no_addresses_and_so_no_rights():
    listener = amqp_listener(access=Deny(("receive", "q")), vhosts=("/", "staging"))
    channel = Connection(listener, "staging").channel()
    channel.queue()
    channel.publish(body=b"1")
    assert channel.get().body == b"1"


# --- what others publish ------------------------------------------------------------------------


def test_a_queue_keeps_what_others_publish_for_those_who_may_receive_it():
    listener, channel = opened(("receive", "secret"))
    channel.queue()
    channel.ask("queue.bind", queue="q", exchange="amq.topic", routing_key="#")
    for address in ("secret", "open"):
        listener.broker.publish(Message(Address(address), b"from outside"), "guest")
    assert listener.vhosts["/"].queues["q"].ready == 2
    channel.consume(no_ack=True)
    got = [each.args.routing_key for each in channel.read() if hasattr(each, "body")]
    assert got == ["open"]


def test_who_observes_for_itself_is_still_asked():
    listener, _ = opened()
    got = []

    class Observer:
        subscriber = Subscriber("test", "somebody", "stranger")

        def observe(self, message):
            got.append(message)

    listener.broker.observers.add(Exact(Address("a")), Observer())
    listener.broker.publish(Message(Address("a"), b"1"), "guest")
    assert got == []


def test_a_header_of_others_that_is_called_cc_is_only_a_header():
    listener, channel = opened()
    channel.queue()
    message = Message(Address("q"), b"1", headers=(("CC", b"text"),))
    listener.broker.publish(message, "guest")
    assert channel.get().body == b"1"


# --- what needs leave to read -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("exchange.bind", {"destination": "to", "source": "amq.topic", "routing_key": "secret"}),
        ("exchange.bind", {"destination": "to", "source": "amq.topic\n", "routing_key": "secret"}),
        ("queue.bind", {"queue": "q", "exchange": "amq.topic\n", "routing_key": "secret"}),
        ("queue.purge", {"queue": "secret"}),
    ],
)
def test_reading_in_any_way_needs_leave(name, fields):
    _, channel = opened(("subscribe", "secret"))
    channel.queue()
    channel.queue("secret")
    channel.ask("exchange.declare", exchange="to", type="fanout")
    channel.send(name, **fields)
    assert closed_with(channel) == 403


def test_a_binding_of_what_may_be_read_is_made():
    _, channel = opened(("subscribe", "secret"))
    channel.ask("exchange.declare", exchange="to", type="fanout")
    answer = channel.ask("exchange.bind", destination="to", source="amq.topic", routing_key="open")
    assert answer.name == "exchange.bind-ok"
