//! A block of addresses in the operator's notation: `10.1.0.0/16`.
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// All addresses of one family with the same first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

/// The error for a text that is no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoCidr;

impl Cidr {
    /// Returns whether the block contains the address; never one of the other family.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                let differ = block.to_bits() ^ address.to_bits();
                differ.checked_shr(32 - u32::from(self.bits)).is_none_or(|differ| differ == 0)
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                let differ = block.to_bits() ^ address.to_bits();
                differ.checked_shr(128 - u32::from(self.bits)).is_none_or(|differ| differ == 0)
            }
            _ => false,
        }
    }

    /// Returns whether the block is exactly this one address.
    pub fn is_exactly(&self, address: IpAddr) -> bool {
        let all = if self.address.is_ipv4() { 32 } else { 128 };
        self.bits == all && self.address == address
    }
}

impl FromStr for Cidr {
    type Err = NoCidr;

    fn from_str(text: &str) -> Result<Self, NoCidr> {
        let (address, bits) = text.split_once('/').ok_or(NoCidr)?;
        let address: IpAddr = address.parse().map_err(|_| NoCidr)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        // `parse` would accept a sign
        let is_number = bits.bytes().all(|b| b.is_ascii_digit());
        let bits = bits.parse().ok().filter(|bits| is_number && *bits <= most).ok_or(NoCidr)?;
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}
