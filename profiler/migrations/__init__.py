"""Steps of Alembic, one file for each version of the store's tables; applied ones never change."""
