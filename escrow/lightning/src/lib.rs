//! The outside money.
