"""The command line: parse, call a use case, render."""

from trustkit.cli.app import main, program

__all__ = ["main", "program"]
