//! Measurements of this box on this machine: real traders, real files, every
//! commit synced.

pub mod machine;
pub mod times;
