"""The command line: parse, call a use case, render."""

from trustkit.cli.app import main

__all__ = ["main"]
