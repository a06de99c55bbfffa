"""`hubbub bench`: a load generator that is cheaper than any broker, and what is measured with it.

Neutral ground: nothing here knows hubbub's inside. It is driven over its sockets, as its peers are.
"""
