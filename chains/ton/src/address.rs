//! Accounts in every form that people and nodes write them, and what a wallet is asked to pay.
//!
//! An account is a workchain and 32 bytes. It is written raw (`0:…`), or as 48 letters with a checksum that say
//! besides whether money comes back from where nothing is deployed, and whether only test networks are meant. We show
//! the form from which it does not come back: a merchant's wallet may not be deployed yet.

use std::fmt::Write as _;

use amn_core::block::{Address, Reference};
use amn_core::money::Amount;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use tycho_types::cell::CellSlice;
use tycho_types::error::Error;

use crate::reference;

const BOUNCEABLE: u8 = 0x11;
const NON_BOUNCEABLE: u8 = 0x51;
const TEST_ONLY: u8 = 0x80;

/// Why a text is not an address of this network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("an address is 48 letters and digits (UQ…, EQ…) or raw, 0:<64 hexadecimal digits>; got {0:?}")]
    NotAnAddress(String),
    #[error("{0:?} is mistyped: its checksum is another")]
    Checksum(String),
    #[error("{0:?} is an address for test networks alone; nobody could be paid there on this one")]
    TestOnly(String),
    #[error("there is no workchain {0}: accounts are in 0, or in -1, the masterchain")]
    Workchain(i64),
}

/// Which kind of network addresses are written for: the same account exists on both.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Realm {
    Mainnet,
    Testnet,
}

/// An account: where money can lie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    pub workchain: i8,
    pub id: [u8; 32],
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The raw form, as nodes take it: `0:` and hexadecimal digits.
impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.workchain)?;
        self.id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Account {
    #[must_use]
    pub const fn new(workchain: i8, id: [u8; 32]) -> Self {
        Self { workchain, id }
    }

    /// The one spelling of a network: not bounceable, safe in a URL.
    #[must_use]
    pub fn spell(&self, realm: Realm) -> Address {
        Address::new(self.friendly(NON_BOUNCEABLE, realm))
    }

    /// The form for contracts, from which money comes back where nothing is deployed.
    #[must_use]
    pub fn bounceable(&self, realm: Realm) -> String {
        self.friendly(BOUNCEABLE, realm)
    }

    fn friendly(&self, tag: u8, realm: Realm) -> String {
        let mut bytes = Vec::with_capacity(36);
        bytes.push(if realm == Realm::Testnet { tag | TEST_ONLY } else { tag });
        bytes.push(self.workchain.cast_unsigned());
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&crc16(&bytes).to_be_bytes());
        URL_SAFE.encode(bytes)
    }

    /// The bytes a watch knows it by, and a row: its workchain, and 32 bytes.
    #[must_use]
    pub fn raw(&self) -> [u8; 33] {
        let mut raw = [0; 33];
        for (to, from) in raw.iter_mut().zip(std::iter::once(self.workchain.cast_unsigned()).chain(self.id)) {
            *to = from;
        }
        raw
    }

    /// The account of the bytes a watch knows it by.
    #[must_use]
    pub fn of_raw(raw: &[u8]) -> Option<Self> {
        let (workchain, id) = raw.split_first()?;
        Some(Self { workchain: workchain.cast_signed(), id: id.try_into().ok()? })
    }

    /// Reads an address inside a cell: `None` where it is nobody, or a form that no account has.
    pub fn load(rest: &mut CellSlice<'_>) -> Result<Option<Self>, Error> {
        match rest.load_small_uint(2)? {
            0b00 => Ok(None),
            0b01 => {
                let bits = u16::try_from(rest.load_uint(9)?).unwrap_or(u16::MAX);
                rest.skip_first(bits, 0)?;
                Ok(None)
            }
            0b10 => {
                let rewritten = skip_anycast(rest)?;
                let (workchain, id) = (rest.load_u8()?.cast_signed(), rest.load_u256()?.0);
                Ok((!rewritten).then_some(Self { workchain, id }))
            }
            _ => {
                skip_anycast(rest)?;
                let bits = u16::try_from(rest.load_uint(9)?).unwrap_or(u16::MAX);
                rest.skip_first(bits.saturating_add(32), 0)?;
                Ok(None)
            }
        }
    }
}

/// An address that stands for several accounts; the network gave that up.
fn skip_anycast(rest: &mut CellSlice<'_>) -> Result<bool, Error> {
    let there = rest.load_bit()?;
    if there {
        let depth = u16::try_from(rest.load_uint(5)?).unwrap_or(u16::MAX);
        rest.skip_first(depth, 0)?;
    }
    Ok(there)
}

/// Reads an address of any form, with blanks around it.
pub fn parse(text: &str, realm: Realm) -> Result<Account, AddressError> {
    let text = text.trim();
    let (account, test_only) = read(text)?;
    if test_only && realm == Realm::Mainnet {
        return Err(AddressError::TestOnly(text.to_owned()));
    }
    Ok(account)
}

/// The bytes a watch knows an address by, whatever network it is written for.
#[must_use]
pub fn raw(address: &Address) -> Option<[u8; 33]> {
    read(address.as_str()).ok().map(|(account, _)| account.raw())
}

fn read(text: &str) -> Result<(Account, bool), AddressError> {
    let wrong = || AddressError::NotAnAddress(text.chars().take(80).collect());
    if let Some((workchain, digits)) = text.split_once(':') {
        let workchain: i64 = workchain.parse().map_err(|_| wrong())?;
        if digits.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let id = digits.parse::<amn_core::block::Hash>().map_err(|_| wrong())?.0;
        return Ok((Account { workchain: known(workchain)?, id }, false));
    }
    if text.len() != 48 {
        return Err(wrong());
    }
    let standard: String = text.chars().map(|c| if c == '-' { '+' } else { c }).collect();
    let bytes = STANDARD.decode(standard.replace('_', "/")).map_err(|_| wrong())?;
    let (said, checksum) = bytes.split_at_checked(34).ok_or_else(wrong)?;
    if crc16(said).to_be_bytes() != *checksum {
        return Err(AddressError::Checksum(text.to_owned()));
    }
    let [tag, workchain, id @ ..] = said else { return Err(wrong()) };
    if ![BOUNCEABLE, NON_BOUNCEABLE].contains(&(tag & !TEST_ONLY)) {
        return Err(wrong());
    }
    let workchain = known(i64::from(workchain.cast_signed()))?;
    Ok((Account { workchain, id: id.try_into().map_err(|_| wrong())? }, tag & TEST_ONLY != 0))
}

fn known(workchain: i64) -> Result<i8, AddressError> {
    match workchain {
        0 => Ok(0),
        -1 => Ok(-1),
        other => Err(AddressError::Workchain(other)),
    }
}

/// CRC-16 with the polynomial 0x1021 from zero, as friendly addresses carry it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    })
}

/// What a wallet is asked to pay with, as a link. `None` where a link cannot say it: only a text can be asked for, and
/// a wallet chooses the number of a jetton transfer itself.
///
/// Amounts are whole numbers of the asset's smallest unit.
#[must_use]
pub fn payment_uri(
    realm: Realm,
    to: &Address,
    jetton: Option<&Account>,
    amount: Option<Amount>,
    reference: Option<&Reference>,
) -> Option<String> {
    let to = parse(to.as_str(), realm).ok()?.spell(realm);
    let text = match reference.map(|reference| reference::parse(reference.as_str())).transpose().ok()? {
        None => None,
        Some(reference::Parsed::Text(bytes)) => Some(String::from_utf8(bytes).ok()?),
        Some(reference::Parsed::Binary(_) | reference::Parsed::Query(_)) => return None,
    };
    let mut said = Vec::new();
    said.extend(jetton.map(|master| format!("jetton={}", master.bounceable(realm))));
    said.extend(amount.map(|amount| format!("amount={amount}")));
    said.extend(text.map(|text| format!("text={}", escaped(&text))));
    let mark = if said.is_empty() { "" } else { "?" };
    Some(format!("ton://transfer/{to}{mark}{}", said.join("&")))
}

/// Percent-encoded, everything but letters, digits and `-._~`.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USDT: &str = "EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs";
    const USDT_RAW: &str = "0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe";

    fn usdt() -> Account {
        parse(USDT_RAW, Realm::Mainnet).unwrap()
    }

    #[test]
    fn an_account_is_known_in_every_form_it_is_written_in() {
        let upper = USDT_RAW.to_uppercase();
        let standard = USDT.replace('_', "/").replace('-', "+");
        let shown = usdt().spell(Realm::Mainnet);
        assert!(shown.as_str().starts_with("UQ"), "{shown}");
        for form in [USDT, USDT_RAW, &upper, &standard, shown.as_str(), &format!("  {USDT}\n")] {
            assert_eq!(parse(form, Realm::Mainnet), Ok(usdt()), "{form}");
        }
        assert_eq!(usdt().bounceable(Realm::Mainnet), USDT);
        assert_eq!(usdt().to_string(), USDT_RAW);
        assert_eq!(raw(&shown), Some(usdt().raw()));
        assert_eq!(Account::of_raw(&usdt().raw()), Some(usdt()));
        let masterchain = Account::new(-1, [0x33; 32]);
        for form in [masterchain.to_string(), masterchain.spell(Realm::Mainnet).to_string()] {
            assert_eq!(parse(&form, Realm::Mainnet), Ok(masterchain), "{form}");
        }
        assert_eq!(masterchain.bounceable(Realm::Mainnet), "Ef8zMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzM0vF");
    }

    #[test]
    fn an_address_for_test_networks_is_refused_on_the_main_one() {
        for form in [usdt().spell(Realm::Testnet).to_string(), usdt().bounceable(Realm::Testnet)] {
            assert!(form.starts_with(['0', 'k']), "{form}");
            assert_eq!(parse(&form, Realm::Mainnet), Err(AddressError::TestOnly(form.clone())));
            assert_eq!(parse(&form, Realm::Testnet), Ok(usdt()));
        }
        // Wallets of a test network show either form.
        assert_eq!(parse(USDT, Realm::Testnet), Ok(usdt()));
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        let wrong = |text: &str| parse(text, Realm::Mainnet).unwrap_err();
        for text in ["", "EQ", "0:", "0:12", &USDT[1..], "G0:00", &format!("x{USDT_RAW}"), &"é".repeat(24)] {
            assert!(matches!(wrong(text), AddressError::NotAnAddress(_)), "{text:?}");
        }
        assert!(matches!(wrong(&USDT.replacen('x', "y", 1)), AddressError::Checksum(_)));
        assert_eq!(wrong(&USDT_RAW.replacen('0', "1", 1)), AddressError::Workchain(1));
        assert_eq!(wrong(Account::new(7, [1; 32]).spell(Realm::Mainnet).as_str()), AddressError::Workchain(7));
    }

    #[test]
    fn a_wallet_is_asked_in_whole_units_with_the_comment_the_intent_waits_for() {
        let to = usdt().spell(Realm::Mainnet);
        let uri = |jetton: Option<&Account>, reference: &str| {
            payment_uri(Realm::Mainnet, &to, jetton, Some(Amount::new(25_500_000)), Some(&Reference::new(reference)))
        };
        assert_eq!(
            uri(None, "text:order 17/ü").unwrap(),
            format!("ton://transfer/{to}?amount=25500000&text=order%2017%2F%C3%BC")
        );
        assert_eq!(
            uri(Some(&usdt()), "text:a").unwrap(),
            format!("ton://transfer/{to}?jetton={USDT}&amount=25500000&text=a")
        );
        assert_eq!(payment_uri(Realm::Mainnet, &to, None, None, None).unwrap(), format!("ton://transfer/{to}"));
        for reference in ["query:7", "bin:ff00", "odd:00", "text-hex:fffe"] {
            assert_eq!(uri(None, reference), None, "{reference}");
        }
    }
}
