"""What is owed to the outside: written in the transaction that caused it, delivered after it."""
