"""What the user types: parse, call, print. Thin; nothing here that a library user would miss."""
