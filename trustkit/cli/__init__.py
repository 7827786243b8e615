"""The command line: parse, call a use case, render.  Here are the programs."""

from trustkit.later import put_off


def program() -> None:
    """The installed ``trustkit``, in a process that is nobody else's."""
    put_off()  # before anything else is loaded
    from trustkit.cli.app import program as run

    run()


def main() -> None:
    """What ``trustkit`` does; it ends by SystemExit."""
    from trustkit.cli.app import main as run

    run()


def docker_plugin() -> None:
    """The installed ``docker-trustkit``, which docker calls."""
    put_off()
    from trustkit.cli.docker import main as run

    run()
