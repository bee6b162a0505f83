//! Token bytes to text: whole UTF-8 characters, and stop strings across token borders.
