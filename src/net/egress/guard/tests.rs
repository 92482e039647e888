//! Tests of the guard's table: the purpose of each address, and the effect of an operator's blocks.
use std::net::IpAddr;

use crate::net::egress::guard::refuse;

use crate::net::egress::Cidr;

fn blocks(blocks: &[&str]) -> Vec<Cidr> {
    blocks.iter().map(|block| block.parse().unwrap()).collect()
}

fn check(ip: &str, allow_private: &[&str], expect: Option<&str>) {
    let parsed: IpAddr = ip.parse().unwrap();
    assert_eq!(refuse(parsed, &blocks(allow_private)), expect, "{ip} with {allow_private:?}");
}

#[test]
fn a_non_public_ipv4_address_is_rejected_with_the_name_of_its_range() {
    let table = [
        ("0.0.0.0", "this network (RFC 791)"),
        ("0.1.2.3", "this network (RFC 791)"),
        ("10.0.0.1", "private (RFC 1918)"),
        ("10.255.255.255", "private (RFC 1918)"),
        ("100.64.0.1", "carrier-grade NAT (RFC 6598)"),
        ("100.127.255.255", "carrier-grade NAT (RFC 6598)"),
        ("127.0.0.1", "loopback (RFC 1122)"),
        ("127.255.255.254", "loopback (RFC 1122)"),
        ("169.254.0.1", "link-local (RFC 3927)"),
        ("172.16.0.1", "private (RFC 1918)"),
        ("172.31.255.255", "private (RFC 1918)"),
        ("192.0.0.1", "protocol assignments (RFC 6890)"),
        ("192.0.2.1", "documentation (RFC 5737)"),
        ("192.88.99.1", "6to4 relays (RFC 7526)"),
        ("192.168.1.1", "private (RFC 1918)"),
        ("198.18.0.1", "benchmarking (RFC 2544)"),
        ("198.19.255.255", "benchmarking (RFC 2544)"),
        ("198.51.100.7", "documentation (RFC 5737)"),
        ("203.0.113.9", "documentation (RFC 5737)"),
        ("224.0.0.1", "multicast (RFC 5771)"),
        ("239.255.255.255", "multicast (RFC 5771)"),
        ("240.0.0.1", "reserved (RFC 1112)"),
        ("255.255.255.255", "broadcast (RFC 919)"),
        ("169.254.169.254", "cloud metadata"),
        ("168.63.129.16", "cloud metadata"),
        ("100.100.100.200", "cloud metadata"),
    ];
    for (ip, expect) in table {
        check(ip, &[], Some(expect));
    }
}

#[test]
fn a_non_public_ipv6_address_is_rejected_with_the_name_of_its_range() {
    let table = [
        ("fd00:ec2::254", "cloud metadata"),
        ("::", "unspecified (RFC 4291)"),
        ("::1", "loopback (RFC 4291)"),
        ("::127.0.0.1", "IPv4-compatible (RFC 4291)"),
        ("::8.8.8.8", "IPv4-compatible (RFC 4291)"),
        ("::169.254.169.254", "cloud metadata"),
        ("::ffff:127.0.0.1", "loopback (RFC 1122)"),
        ("::ffff:10.1.2.3", "private (RFC 1918)"),
        ("::ffff:169.254.169.254", "cloud metadata"),
        ("64:ff9b::7f00:1", "loopback (RFC 1122)"),
        ("64:ff9b::a9fe:a9fe", "cloud metadata"),
        ("64:ff9b::a00:1", "private (RFC 1918)"),
        ("64:ff9b:1::1", "local NAT64 (RFC 8215)"),
        ("100::1", "discard (RFC 6666)"),
        ("2001::1", "Teredo (RFC 4380)"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo (RFC 4380)"),
        ("2001:2::1", "benchmarking (RFC 5180)"),
        ("2001:10::1", "protocol assignments (RFC 2928)"),
        ("2001:db8::1", "documentation (RFC 3849)"),
        ("2002:7f00:1::", "6to4 (RFC 7526)"),
        ("2002:808:808::1", "6to4 (RFC 7526)"),
        ("2002:a9fe:a9fe::1", "cloud metadata"),
        ("2606:4700::5efe:10.0.0.1", "private (RFC 1918)"),
        ("2606:4700::200:5efe:192.168.0.1", "private (RFC 1918)"),
        ("fe80::5efe:8.8.8.8", "link-local (RFC 4291)"),
        ("3fff::1", "documentation (RFC 9637)"),
        ("4000::1", "not assigned (RFC 4291)"),
        ("5f00::1", "segment routing (RFC 9602)"),
        ("8000::1", "not assigned (RFC 4291)"),
        ("fc00::1", "unique local (RFC 4193)"),
        ("fdff::1", "unique local (RFC 4193)"),
        ("fe80::1", "link-local (RFC 4291)"),
        ("fec0::1", "site-local (RFC 3879)"),
        ("ff02::1", "multicast (RFC 4291)"),
    ];
    for (ip, expect) in table {
        check(ip, &[], Some(expect));
    }
}

#[test]
fn the_public_internet_is_let_through() {
    let table = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "93.184.216.34",
        "100.63.255.255",
        "100.128.0.0",
        "128.0.0.1",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.1",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:4700::1111",
        "2606:4700::5efe:8.8.8.8",
        "2a00:1450:4001::200e",
        "3ffe::1",
    ];
    for ip in table {
        check(ip, &[], None);
    }
}

#[test]
fn an_allowed_block_opens_its_own_addresses_and_no_others() {
    check("10.1.2.3", &["10.1.0.0/16"], None);
    check("10.2.0.1", &["10.1.0.0/16"], Some("private (RFC 1918)"));
    check("127.0.0.1", &["10.0.0.0/8", "127.0.0.0/8"], None);
    check("192.168.0.7", &["192.168.0.7/32"], None);
    check("192.168.0.8", &["192.168.0.7/32"], Some("private (RFC 1918)"));
    check("fd12::1", &["fd12::/16"], None);
    check("fd13::1", &["fd12::/16"], Some("unique local (RFC 4193)"));
    check("255.255.255.255", &["0.0.0.0/0"], None);
    check("::1", &["0.0.0.0/0"], Some("loopback (RFC 4291)"));
}

#[test]
fn an_address_that_carries_another_is_allowed_as_that_one_is() {
    check("::ffff:10.1.2.3", &["10.1.0.0/16"], None);
    check("64:ff9b::a01:203", &["10.1.0.0/16"], None);
    check("2606:4700::5efe:10.1.2.3", &["10.1.0.0/16"], None);
    check("2002:a01:203::1", &["10.1.0.0/16"], Some("6to4 (RFC 7526)"));
    check("::10.1.2.3", &["10.1.0.0/16"], Some("IPv4-compatible (RFC 4291)"));
}

#[test]
fn no_wide_block_opens_the_metadata_of_a_cloud() {
    let metadata = Some("cloud metadata");
    check("169.254.169.254", &["169.254.0.0/16"], metadata);
    check("100.100.100.200", &["100.64.0.0/10"], metadata);
    check("fd00:ec2::254", &["fd00::/8"], metadata);
    check("168.63.129.16", &["0.0.0.0/0"], metadata);
    check("2002:a9fe:a9fe::1", &["2002::/16"], metadata);
    check("169.254.169.254", &["169.254.169.254/32"], None);
    check("::ffff:169.254.169.254", &["169.254.169.254/32"], None);
}
