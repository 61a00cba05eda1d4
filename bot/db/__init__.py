"""The database: engines, transactions, column types, migrations."""
