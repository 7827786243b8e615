"""What use cases need from the outside, as Protocols; adapters satisfy them, wiring connects the two."""
