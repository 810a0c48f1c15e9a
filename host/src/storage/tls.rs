//! Which cryptography TLS uses: the clients of Redis and of object stores bring none.

/// Says that it is ring's, unless the program has said another one.
pub(super) fn choose_cryptography() {
    // Fails if it was set before: so much the better.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
