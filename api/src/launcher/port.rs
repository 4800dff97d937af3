//! Ports: a free one for a private server, the preferred one or the next for what people open in a browser.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use super::LauncherError;

/// How far beyond the preferred port to look.
const TRIED_MAX: u16 = 50;

/// A port of 127.0.0.1 that nobody holds: `remembered` when it still is free, else any.
pub fn private(remembered: Option<u16>) -> Result<u16, LauncherError> {
    if let Some(port) = remembered.filter(|port| free(SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))) {
        return Ok(port);
    }
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(any).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|source| LauncherError::Run { program: "a listener on 127.0.0.1".to_owned(), source })
}

/// Where a server that people open should listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub address: SocketAddr,
    /// The preferred port was taken, and this is another.
    pub moved: bool,
}

/// Takes `preferred`; when it is taken, the next free port, unless somebody `asked` for exactly that one.
pub fn choose(preferred: SocketAddr, asked: bool, key: &'static str) -> Result<Choice, LauncherError> {
    choose_from(preferred, asked, key, free)
}

fn choose_from(preferred: SocketAddr, asked: bool, key: &'static str, free: impl Fn(SocketAddr) -> bool) -> Result<Choice, LauncherError> {
    if free(preferred) {
        return Ok(Choice { address: preferred, moved: false });
    }
    let first = preferred.port();
    if asked {
        return Err(LauncherError::PortTaken { port: first, remedy: format!("stop that program, or give {key} another port") });
    }
    let last = first.saturating_add(TRIED_MAX);
    (first.saturating_add(1)..=last)
        .map(|port| SocketAddr::new(preferred.ip(), port))
        .find(|address| free(*address))
        .map(|address| Choice { address, moved: true })
        .ok_or(LauncherError::NoFreePort { first, last, key })
}

/// Whether `address` can be listened on now. Port 0 always can.
pub fn free(address: SocketAddr) -> bool {
    match TcpListener::bind(address) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied),
    }
}

/// How this machine reaches a server listening on `address`.
pub fn loopback_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    #[test]
    fn a_free_preferred_port_is_taken() {
        let choice = choose_from(at(8080), false, "http.listen", |_| true).unwrap();
        assert_eq!(choice, Choice { address: at(8080), moved: false });
    }

    #[test]
    fn a_taken_port_moves_to_the_next_free_one() {
        let choice = choose_from(at(8080), false, "http.listen", |address| address.port() > 8082).unwrap();
        assert_eq!(choice, Choice { address: at(8083), moved: true });
    }

    #[test]
    fn a_port_that_was_asked_for_never_moves() {
        let error = choose_from(at(8080), true, "http.listen", |address| address.port() != 8080).unwrap_err();
        assert_eq!(error.to_string(), "port 8080 is taken by another program; stop that program, or give http.listen another port");
    }

    #[test]
    fn the_search_ends() {
        let error = choose_from(at(65_530), false, "http.listen", |_| false).unwrap_err();
        assert_eq!(error.to_string(), "no free port from 65530 to 65535; set http.listen");
    }

    #[test]
    fn a_held_port_is_not_free_and_the_remembered_one_is_kept() {
        let held = TcpListener::bind(at(0)).unwrap();
        let port = held.local_addr().unwrap().port();
        assert!(!free(at(port)));
        assert_ne!(private(Some(port)).unwrap(), port);
        drop(held);
        assert_eq!(private(Some(port)).unwrap(), port);
    }

    #[test]
    fn an_unspecified_address_is_reached_over_loopback() {
        assert_eq!(loopback_url("0.0.0.0:8080".parse().unwrap()), "http://127.0.0.1:8080");
        assert_eq!(loopback_url("[::]:8080".parse().unwrap()), "http://[::1]:8080");
        assert_eq!(loopback_url("127.0.0.1:81".parse().unwrap()), "http://127.0.0.1:81");
    }
}
