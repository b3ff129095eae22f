"""Benchmarks: `python -m tests.bench.NAME` prints what it does on stderr and one JSON object as its last line on stdout."""
