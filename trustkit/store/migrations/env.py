"""Alembic's environment: migrates on the connection and in the transaction of ``trustkit.store.upgrade``."""

from __future__ import annotations

from alembic import context

from trustkit.store.models import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
