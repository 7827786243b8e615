"""Listening, TLS, the access log and shutdown: shared by every server we run."""
