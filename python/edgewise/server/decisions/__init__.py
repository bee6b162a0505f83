"""Decisions: which of given answers a model finds likely, without generating any."""
