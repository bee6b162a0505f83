//! GGUF files: bounds-checked reader, header syntax with caps, and the proof of the layout.
