"""What is wrong with this set-up, why it matters, and the exact step that mends it."""
