"""Use cases of the service, on ports only."""
