//! A table of the addresses outside of the public internet, and the function that reads it.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::egress::cidr::Cidr;

/// The addresses where a cloud machine gets its own credentials. A wide block does not allow them: the
/// operator has to name each address.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// First address, bits, purpose. The first matching entry is reported.
const V4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network (RFC 791)"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private (RFC 1918)"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier-grade NAT (RFC 6598)"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback (RFC 1122)"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local (RFC 3927)"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private (RFC 1918)"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments (RFC 6890)"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation (RFC 5737)"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112 (RFC 7535)"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT (RFC 7450)"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relays (RFC 7526)"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private (RFC 1918)"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112 (RFC 7534)"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking (RFC 2544)"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation (RFC 5737)"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation (RFC 5737)"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast (RFC 5771)"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast (RFC 919)"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved (RFC 1112)"),
];

/// The table for IPv6. The last entries are all addresses outside of 2000::/3.
const V6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified (RFC 4291)"),
    (Ipv6Addr::LOCALHOST, 128, "loopback (RFC 4291)"),
    (Ipv6Addr::UNSPECIFIED, 96, "IPv4-compatible (RFC 4291)"),
    (v6(0x64, 0xff9b, 1), 48, "local NAT64 (RFC 8215)"),
    (v6(0x100, 0, 0), 64, "discard (RFC 6666)"),
    (v6(0x2001, 0, 0), 32, "Teredo (RFC 4380)"),
    (v6(0x2001, 2, 0), 48, "benchmarking (RFC 5180)"),
    (v6(0x2001, 0, 0), 23, "protocol assignments (RFC 2928)"),
    (v6(0x2001, 0xdb8, 0), 32, "documentation (RFC 3849)"),
    (v6(0x2002, 0, 0), 16, "6to4 (RFC 7526)"),
    (v6(0x2620, 0x4f, 0x8000), 48, "AS112 (RFC 7534)"),
    (v6(0x3fff, 0, 0), 20, "documentation (RFC 9637)"),
    (v6(0x5f00, 0, 0), 16, "segment routing (RFC 9602)"),
    (v6(0xfc00, 0, 0), 7, "unique local (RFC 4193)"),
    (v6(0xfe80, 0, 0), 10, "link-local (RFC 4291)"),
    (v6(0xfec0, 0, 0), 10, "site-local (RFC 3879)"),
    (v6(0xff00, 0, 0), 8, "multicast (RFC 4291)"),
    (v6(0, 0, 0), 3, "not assigned (RFC 4291)"),
    (v6(0x4000, 0, 0), 2, "not assigned (RFC 4291)"),
    (v6(0x8000, 0, 0), 1, "not assigned (RFC 4291)"),
];

/// Returns the purpose of an address that plugins must not reach. Returns `None` if they may: the address
/// is public, or in an allowed block.
///
/// An address that carries an IPv4 address (mapped, NAT64, ISATAP) is judged by the carried address. The
/// older ways of carrying one (compatible, 6to4, Teredo) are refused as such.
pub(crate) fn refuse(ip: IpAddr, allow_private: &[Cidr]) -> Option<&'static str> {
    let judged = judged(ip);
    let named = |ip: IpAddr| allow_private.iter().any(|block| block.is_exactly(ip));
    let carried = carried(ip);
    for ip in [Some(judged), carried].into_iter().flatten() {
        if METADATA.contains(&ip) && !named(ip) {
            return Some("cloud metadata");
        }
    }
    if allow_private.iter().any(|block| block.contains(judged)) {
        return None;
    }
    match judged {
        IpAddr::V4(ip) => purpose_v4(ip),
        IpAddr::V6(ip) => purpose_v6(ip),
    }
}

fn purpose_v4(ip: Ipv4Addr) -> Option<&'static str> {
    let shares = |first: Ipv4Addr, bits: u32| (first.to_bits() ^ ip.to_bits()) >> (32 - bits) == 0;
    V4.iter().find(|(first, bits, _)| shares(*first, *bits)).map(|(_, _, purpose)| *purpose)
}

fn purpose_v6(ip: Ipv6Addr) -> Option<&'static str> {
    let shares = |first: Ipv6Addr, bits: u32| (first.to_bits() ^ ip.to_bits()) >> (128 - bits) == 0;
    V6.iter().find(|(first, bits, _)| shares(*first, *bits)).map(|(_, _, purpose)| *purpose)
}

/// Returns the address that a packet finally reaches.
fn judged(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let is_carrier = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => true,
        // if the network itself is refused, report the network
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => purpose_v6(v6).is_none(),
        _ => false,
    };
    if is_carrier { carried(ip).unwrap_or(ip) } else { ip }
}

/// Returns the IPv4 address that an IPv6 address carries, in any way.
fn carried(ip: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = ip else { return None };
    let at =
        |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    let inner = match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => at(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => at(high, low),
        [0x2002, high, low, ..] => at(high, low),
        // the client of a Teredo server, its bits inverted
        [0x2001, 0, _, _, _, _, high, low] => at(!high, !low),
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => at(high, low),
        _ => None,
    };
    inner.map(IpAddr::V4)
}

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

#[cfg(test)]
mod tests;
