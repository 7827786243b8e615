"""Wire formats: bytes to checked domain objects and back, one module a format."""
