//! Where webhooks may go. A merchant writes the URL, so it must not lead inside: neither by what it says nor by what its name resolves to.
//!
//! A name is resolved by [`Guard`], which hands the HTTP client the very addresses it judged: there is no second look-up between the check and
//! the connection that a changed DNS answer could slip into. Where one address of a name is refused, all are.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Longest URL, in characters.
pub const URL_MAX: usize = 512;

/// Longest that a name may take to resolve.
const RESOLVE_MAX: Duration = Duration::from_secs(3);

/// Why a URL cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    #[error("the URL must be a complete address of at most 512 characters, such as https://shop.example.com/haodian")]
    Malformed,
    #[error("the URL must begin with https://")]
    NotHttps,
    #[error("the URL must hold no user name or password; tell the sender by its signature")]
    Credentials,
    #[error("the URL must hold no part after #")]
    Fragment,
    #[error("the host does not resolve; check its spelling and its DNS record")]
    Unresolved,
    #[error("the host is or resolves to an address that is not on the public Internet")]
    NotPublic,
}

/// A name that leads nowhere, or where nothing may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver's address may not be used")]
pub struct AddressRefused(pub UrlFault);

/// Which addresses there are beside public ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// None. Production.
    Public,
    /// This machine's own, over plain HTTP too. Development.
    Loopback,
}

impl Reach {
    /// Whether anything may be sent to this address.
    pub fn allows(self, address: IpAddr) -> bool {
        is_public(address) || (self == Self::Loopback && plain(address).is_loopback())
    }

    /// Reads a URL and judges what it says by itself. [`Reach::check`] also asks what its name resolves to.
    pub fn read(self, text: &str) -> Result<Url, UrlFault> {
        if text.chars().count() > URL_MAX || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(UrlFault::Malformed);
        }
        let url = Url::parse(text).map_err(|_| UrlFault::Malformed)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UrlFault::Malformed)?;
        let literal = literal(host);
        let own = self == Self::Loopback && (literal.is_some_and(|ip| plain(ip).is_loopback()) || host == "localhost");
        match url.scheme() {
            "https" => {}
            "http" if own => {}
            _ => return Err(UrlFault::NotHttps),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlFault::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlFault::Fragment);
        }
        match literal {
            Some(ip) if !self.allows(ip) => Err(UrlFault::NotPublic),
            _ if url.as_str().chars().count() > URL_MAX => Err(UrlFault::Malformed),
            _ => Ok(url),
        }
    }

    /// Reads a URL, resolves its name and judges every address of it.
    pub async fn check(self, text: &str) -> Result<Url, UrlFault> {
        let url = self.read(text)?;
        match url.host_str() {
            Some(host) if literal(host).is_none() => self.resolve(host).await.map(|_| url),
            _ => Ok(url),
        }
    }

    /// The addresses of a name, all of which may be used.
    async fn resolve(self, host: &str) -> Result<Vec<SocketAddr>, UrlFault> {
        let found = tokio::time::timeout(RESOLVE_MAX, tokio::net::lookup_host((host, 0))).await;
        let found: Vec<SocketAddr> = found.map_err(|_| UrlFault::Unresolved)?.map_err(|_| UrlFault::Unresolved)?.collect();
        if found.is_empty() {
            return Err(UrlFault::Unresolved);
        }
        if found.iter().any(|address| !self.allows(address.ip())) {
            return Err(UrlFault::NotPublic);
        }
        Ok(found)
    }
}

/// Resolves names for the HTTP client, which connects to what it is given here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard(pub(super) Reach);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = reach.resolve(name.as_str()).await.map_err(AddressRefused)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an error of the client comes from [`Guard`].
pub(super) fn refused(error: &(dyn Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if error.is::<AddressRefused>() {
            return true;
        }
        at = error.source();
    }
    false
}

/// The address a host is written as, if it is one: `url` has brought 0x7f.1 and its like into one form.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// An IPv4 address in the clothes of IPv6 as what it is.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Whether an address is reachable on the public Internet, by the registries of special-purpose addresses (RFC 6890 and its successors).
fn is_public(address: IpAddr) -> bool {
    match plain(address) {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let number = u32::from(address);
    let within = |net: [u8; 4], bits: u32| number >> (32 - bits) == u32::from(Ipv4Addr::from(net)) >> (32 - bits);
    let special = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        // carriers' own; some clouds keep their metadata here
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        // link-local, and the metadata of most clouds
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        // multicast, reserved and broadcast
        ([224, 0, 0, 0], 3),
    ];
    !special.into_iter().any(|(net, bits)| within(net, bits))
}

/// Only global unicast (2000::/3), and of it nothing that carries an IPv4 address or is set apart.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    let assignments = first == 0x2001 && second < 0x0200;
    let documentation = (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
    let six_to_four = first == 0x2002;
    global && !assignments && !documentation && !six_to_four
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached_in_production() {
        let refused = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in refused {
            assert!(!Reach::Public.allows(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "39.156.66.10", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2400:3200::1", "2606:4700::1111"] {
            assert!(Reach::Public.allows(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn development_reaches_this_machine_and_nothing_else_that_is_private() {
        for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(Reach::Loopback.allows(text.parse().unwrap()), "{text}");
        }
        for text in ["10.0.0.1", "169.254.169.254", "fe80::1", "0.0.0.0"] {
            assert!(!Reach::Loopback.allows(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_url_is_judged_by_what_it_says() {
        use UrlFault::*;
        let long = format!("https://shop.example.com/{}", "a".repeat(500));
        let cases = [
            ("https://shop.example.com/haodian?x=1", None, None),
            ("https://1.1.1.1:8443/", None, None),
            ("http://shop.example.com/", Some(NotHttps), Some(NotHttps)),
            ("http://127.0.0.1:9/", Some(NotHttps), None),
            ("http://localhost:9/", Some(NotHttps), None),
            ("https://127.0.0.1/", Some(NotPublic), None),
            ("https://0x7f.1/", Some(NotPublic), None),
            ("https://2130706433/", Some(NotPublic), None),
            ("https://[::ffff:127.0.0.1]/", Some(NotPublic), None),
            ("https://[::1]/", Some(NotPublic), None),
            ("https://169.254.169.254/latest/meta-data", Some(NotPublic), Some(NotPublic)),
            ("https://192.168.0.1/", Some(NotPublic), Some(NotPublic)),
            ("http://10.0.0.1/", Some(NotHttps), Some(NotHttps)),
            ("https://user:secret@shop.example.com/", Some(Credentials), Some(Credentials)),
            ("https://shop.example.com/#here", Some(Fragment), Some(Fragment)),
            ("ftp://shop.example.com/", Some(NotHttps), Some(NotHttps)),
            ("file:///etc/passwd", Some(Malformed), Some(Malformed)),
            ("shop.example.com", Some(Malformed), Some(Malformed)),
            ("https://", Some(Malformed), Some(Malformed)),
            ("https://shop.example.com/a b", Some(Malformed), Some(Malformed)),
            ("https://shop.example.com/\r\nHost: x", Some(Malformed), Some(Malformed)),
            (long.as_str(), Some(Malformed), Some(Malformed)),
        ];
        for (text, production, development) in cases {
            assert_eq!(Reach::Public.read(text).err(), production, "{text} in production");
            assert_eq!(Reach::Loopback.read(text).err(), development, "{text} in development");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        assert_eq!(Reach::Public.check("https://localhost/").await.err(), Some(UrlFault::NotPublic));
        assert!(Reach::Loopback.check("http://localhost:9/").await.is_ok());
        let guarded = Guard(Reach::Public).resolve("localhost".parse().unwrap()).await;
        assert!(refused(guarded.err().unwrap().as_ref()));
    }
}
