"""What models cost: dated rows that never change, and the cost of a use of a model at its own time."""
