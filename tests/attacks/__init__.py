"""Attacks on real processes, one file for each mechanism; a test judges what a victim would notice. docs/security.md names them."""
