//! Matrix products, attention, norms and rotary embedding, written once over the instruction sets.
