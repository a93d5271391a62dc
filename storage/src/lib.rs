//! What the node remembers.
