"""Conversations as the text that a model was trained on."""
