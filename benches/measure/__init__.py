"""What `bench.py` and `soak.py` measure with; a module a noun."""
