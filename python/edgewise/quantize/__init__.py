"""Smaller model files: which format each tensor gets, and the way there a band of rows at a time."""
