"""Quantizing: the choices are llama.cpp's, the files are sound, and what goes wrong leaves nothing behind."""
