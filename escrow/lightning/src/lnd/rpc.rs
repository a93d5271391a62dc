//! LND's gRPC interface, generated from the files in `proto/`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::enum_variant_names,
    clippy::pedantic,
    reason = "generated: names and shapes are LND's"
)]

/// The node itself: state, identity, channels, history.
pub(super) mod lnrpc {
    tonic::include_proto!("lnrpc");
}

/// Hold invoices.
pub(super) mod invoicesrpc {
    tonic::include_proto!("invoicesrpc");
}

/// Payments.
pub(super) mod routerrpc {
    tonic::include_proto!("routerrpc");
}
