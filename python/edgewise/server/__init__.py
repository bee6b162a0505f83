"""The HTTP server: protocols that clients speak, over models that are loaded on demand."""
