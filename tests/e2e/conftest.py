"""A running service for the tests of this folder, with the three people of the demonstration."""

from tests.people import alice, bob, carol, service

__all__ = ["alice", "bob", "carol", "service"]
