"""Use cases of people and machines: what the commands and hooks call.  Adapters arrive through ``core.ports``."""
