"""The service: thin handlers, one table of errors, and the wiring."""
