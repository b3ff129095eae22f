"""Tools of one request: what the model sees and who executes it."""
