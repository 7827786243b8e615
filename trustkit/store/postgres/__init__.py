"""The Store port on PostgreSQL, for a service of several replicas; needs ``trustkit[postgresql]``."""
