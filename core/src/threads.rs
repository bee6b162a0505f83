//! How many threads can really run: quota, affinity and fast cores.
