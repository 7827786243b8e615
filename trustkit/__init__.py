"""trustkit: content trust for container tags.

A tag is a mutable name.  trustkit makes it mean one signed digest, current and not rolled back.
"""

__version__ = "0.1.0"
