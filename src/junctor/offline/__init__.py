"""Manifests without a cluster: read and checked as the API server would, planned as the operator would.

`collect` reads files into objects, `plan` runs the operator's planner on them, `validate` turns the plans into problems, and `render` turns
them into the objects of connector maps. Nothing here prints or ends a process.
"""
