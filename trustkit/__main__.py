"""``python -m trustkit`` is ``trustkit``."""

from trustkit.cli import program

if __name__ == "__main__":
    program()
