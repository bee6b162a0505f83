"""Edgewise beside llama-cpp-python: each run in a process of its own, the two in turn."""
