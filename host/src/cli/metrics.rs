//! `--metrics`: where the metrics of a run are served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::failure::Failure;

/// Reads an address: `9100` and `:9100` are on loopback, which only this machine reaches.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        let port = port.parse().map_err(|_| String::from("ports go up to 65535"))?;
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| {
        String::from("name a port, such as 9100, or an IP address with a port, such as 127.0.0.1:9100 or [::1]:9100")
    })
}

/// Serves the metrics from now on, until what it answers is dropped.
#[cfg(feature = "metrics")]
pub(super) fn serve(
    address: SocketAddr,
    quiet: bool,
    json: bool,
) -> Result<crate::observe::serve::MetricsServer, Failure> {
    use crate::observe::serve::{MetricsServer, PATH};
    let server = MetricsServer::start(address).map_err(|error| refused(address, &error))?;
    let url = format!("http://{}{PATH}", server.address());
    let is_open = !server.address().ip().is_loopback();
    if json && (is_open || !quiet) {
        super::print_error(&format!("{}\n", serde_json::json!({ "metrics": url, "loopback": !is_open })));
    } else if is_open {
        let elsewhere = "other machines can read them; for this one only, name the port alone";
        super::print_error(&format!("metrics: {url} ({elsewhere})\n"));
    } else if !quiet {
        super::print_error(&format!("metrics: {url}\n"));
    }
    Ok(server)
}

/// Says which build serves them.
#[cfg(not(feature = "metrics"))]
pub(super) fn serve(_: SocketAddr, _: bool, _: bool) -> Result<(), Failure> {
    Err(Failure::usage(
        "--metrics: this `eventflux` was built without metrics; build it with the cargo feature, such as\n  \
         cargo run --release --features metrics -- run APP.toml --metrics 9100",
    ))
}

#[cfg(feature = "metrics")]
fn refused(address: SocketAddr, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            "Another program listens there, perhaps another run: name another port, or 0 for any that is free."
        }
        ErrorKind::PermissionDenied => "Ports below 1024 take rights that this user does not have: name a higher one.",
        ErrorKind::AddrNotAvailable => "This machine has no such address: name a port alone, for 127.0.0.1.",
        _ => "Name another address, or run without --metrics.",
    };
    Failure::new(format!("--metrics: cannot listen at {address}: {error}")).with_advice(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_loopback() {
        for text in ["9100", ":9100", "localhost:9100", "127.0.0.1:9100"] {
            assert_eq!(parse_address(text), Ok(SocketAddr::from(([127, 0, 0, 1], 9100))), "{text}");
        }
        assert_eq!(parse_address("0.0.0.0:0"), Ok(SocketAddr::from(([0, 0, 0, 0], 0))));
        assert!(parse_address("[::1]:9100").is_ok_and(|address| address.ip().is_loopback()));
        for text in ["", ":", "65536", "-1", "here", "example.org:80", "127.0.0.1", "::1:9100", "1.2.3.4:x", " 9100"] {
            assert!(parse_address(text).is_err(), "{text:?}");
        }
    }

    #[cfg(not(feature = "metrics"))]
    #[test]
    fn without_the_feature_it_says_which_one() {
        let failure = serve(SocketAddr::from(([127, 0, 0, 1], 0)), false, false).unwrap_err();
        assert_eq!(failure.exit_code, 2);
        assert!(failure.message.contains("--features metrics"), "{}", failure.message);
    }
}
