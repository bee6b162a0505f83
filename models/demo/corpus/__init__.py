"""The training text of the demo model, generated: stories from a grammar, questions with composed answers."""
