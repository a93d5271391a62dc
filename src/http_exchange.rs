//! One question over HTTP, as the command line asks a running box.

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1_024 * 1_024;

/// Sends a request over a fresh connection and reads the whole answer. It takes as long
/// as the other side likes: whoever asks sets a limit.
///
/// # Errors
/// What went wrong, in words.
pub(crate) async fn exchange<Io, B>(
    stream: Io,
    request: Request<B>,
) -> Result<(StatusCode, Bytes), String>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|why| why.to_string())?;
    let conversation = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|why| why.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect();
        let body = body.await.map_err(|why| why.to_string())?.to_bytes();
        Ok((status, body))
    };
    // The connection carries the conversation and ends with it, or before the answer's
    // last bytes are taken.
    let mut conversation = std::pin::pin!(conversation);
    tokio::select! {
        answer = &mut conversation => answer,
        _ended = connection => conversation.await,
    }
}
