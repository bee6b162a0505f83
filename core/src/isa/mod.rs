//! What the machine offers: instruction sets, and threads that share a buffer. The only place with `unsafe`.
