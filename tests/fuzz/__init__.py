"""Properties over any input: nothing that a party sends crashes, hangs or grows a part that reads it."""
