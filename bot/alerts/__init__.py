"""Warnings before the credits of an account run out."""
