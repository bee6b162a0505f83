"""Model folders of the Hugging Face hub as GGUF files: configuration, weights, tokenizer, adapters."""
