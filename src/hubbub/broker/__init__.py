"""Router, topics, subscriptions and groups behind the ``Broker`` facade. No sockets, no clock."""
