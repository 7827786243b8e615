"""Engines that pull by digest, then tag."""
