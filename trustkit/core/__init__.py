"""The pure part: bytes, values and ``now`` in; values or errors out.  No I/O, clock, environment or logging."""
