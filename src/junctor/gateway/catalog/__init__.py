"""What a caller may use, as JSON."""
