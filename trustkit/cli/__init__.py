"""The command line: parse, call a use case, render.  Here are the programs."""

INTERRUPTED = "Aborted; nothing was done."
"""What Ctrl-C says while the program is still being loaded; it ends with status 1."""


def program() -> None:
    """The installed ``trustkit``, in a process that is nobody else's."""
    try:
        from trustkit.later import put_off

        put_off()  # before anything else is loaded
        from trustkit.cli.app import program as run
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None

    run()


def main() -> None:
    """What ``trustkit`` does; it ends by SystemExit."""
    from trustkit.cli.app import main as run

    run()


def docker_plugin() -> None:
    """The installed ``docker-trustkit``, which docker calls."""
    try:
        from trustkit.later import put_off

        put_off()
        from trustkit.cli.docker import main as run
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None

    run()
