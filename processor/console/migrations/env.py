"""Runs the migrations on the connection that `processor.console.database` hands over."""

from alembic import context

from processor.console.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
