"""What docker asks of each plugin before it lists or calls it; answered with next to nothing loaded.

The contract is docker/cli's ``docs/extend/cli_plugins.md``: ``docker-NAME docker-cli-plugin-metadata`` prints a JSON
object and ends with status 0.
"""

from __future__ import annotations

QUESTION = "docker-cli-plugin-metadata"


def answer() -> str:
    """The JSON object."""
    import json

    from trustkit import __version__

    return json.dumps(
        {
            "SchemaVersion": "0.1.0",
            "Vendor": "trustkit",
            "Version": __version__,
            "ShortDescription": "Content trust: pull, run and build what is signed",
        }
    )


def main() -> None:
    """Prints it."""
    print(answer())  # noqa: T201 - a program's output
