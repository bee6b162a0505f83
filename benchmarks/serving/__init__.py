"""A server in a process of its own, and clients that cost little."""
