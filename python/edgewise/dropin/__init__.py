"""The parts of `edgewise.Llama`, which answers like `llama_cpp.Llama`."""
