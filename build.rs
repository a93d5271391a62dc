//! Turns the proto file of the admin service into Rust, without any program but Cargo.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src/admin/admin.proto");
    let files = protox::compile(["admin.proto"], ["src/admin"])?;
    // What the reflection of the service tells.
    let described = PathBuf::from(env::var("OUT_DIR")?).join("admin.bin");
    fs::write(described, files.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds(files)?;
    Ok(())
}
