"""Tokens become debits: events in, prices applied, accounts debited, each event exactly once."""
