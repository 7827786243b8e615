"""The client's state under TRUSTKIT_HOME: keys, pins and a cache that can be deleted at any time."""

from trustkit.home.home import Home

__all__ = ["Home"]
