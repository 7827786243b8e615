"""The service's database: tables, migrations, and the Store port on SQLAlchemy.

Importing this package loads no SQLAlchemy; ``trustkit.store.database`` does.
"""
