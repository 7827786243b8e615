"""``python -m trustkit`` is ``trustkit``."""

from trustkit.cli import main

if __name__ == "__main__":
    main()
