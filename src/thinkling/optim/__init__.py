"""Update: what turns gradients into new weights. No model, no loss, no file."""
