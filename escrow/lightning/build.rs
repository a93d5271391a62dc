//! Turns the proto files into Rust, without any program but Cargo.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["invoicesrpc.proto", "routerrpc.proto", "lnrpc.proto"];
    let files = protox::compile(files, ["proto"])?;
    // The servers are for a scripted LND in tests.
    tonic_prost_build::configure()
        .build_transport(false)
        .server_mod_attribute(".", "#[cfg(test)]")
        .compile_fds(files)?;
    Ok(())
}
