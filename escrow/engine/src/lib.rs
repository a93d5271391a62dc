//! One after the other: the single writer of the escrow.
