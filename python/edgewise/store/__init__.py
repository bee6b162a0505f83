"""Models by name: content-addressed blobs, manifests and names in one folder. docs/store.md describes it."""
