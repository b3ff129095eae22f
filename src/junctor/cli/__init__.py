"""The `junctor` command: one file for each of its commands."""
