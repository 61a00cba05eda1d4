"""A purchase, from the first click to the settled card."""
