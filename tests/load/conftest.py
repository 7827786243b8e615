"""A running service for the tests of this folder, with somebody who publishes and somebody who only reads."""

from tests.people import alice, carol, service

__all__ = ["alice", "carol", "service"]
