//! Who may say what on the relay.
