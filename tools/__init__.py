"""Generators: they write files of the repository, so they are no part of the package."""
