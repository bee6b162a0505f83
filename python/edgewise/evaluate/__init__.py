"""What a model is worth: how well it predicts a text, how far it is from its source, how fast it is."""
