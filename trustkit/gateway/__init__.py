"""What ``/v2`` serves of the registry: the trust-only gate, the embedded registry and the upstream proxy."""
