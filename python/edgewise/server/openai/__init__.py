"""OpenAI's protocol: `/v1/*`."""
