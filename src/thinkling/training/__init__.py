"""One loop for every product; it sees an Objective, never a product."""
