//! The ledgers that are measured: real ones of the public network where they are present, otherwise invented ones of
//! the same size, and it is said which.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use amn_core::block::NetworkId;
use amn_soroban::networks::SorobanNetwork;
use amn_soroban::testkit::{Chain, Token, Validator, busy, network_file};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A ledger as a node hands it over.
pub struct Sample {
    pub name: String,
    /// What stands in the node's answer.
    pub text: String,
    pub bytes: Vec<u8>,
}

/// Ledgers of one network.
pub struct Samples {
    /// What they are, for the figures.
    pub what: String,
    pub network: SorobanNetwork,
    pub all: Vec<Sample>,
}

impl Samples {
    pub fn find() -> Self {
        Self::real().unwrap_or_else(|reason| {
            println!(
                "no real ledgers ({reason}); name a folder of them with AMN_REAL_DATA. Invented ones are measured"
            );
            Self::invented()
        })
    }

    fn real() -> Result<Self, String> {
        let folder = std::env::var_os("AMN_REAL_DATA")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/real"), PathBuf::from);
        let folder = folder.join("stellar");
        let listed = std::fs::read_dir(&folder).map_err(|error| format!("the folder of them: {error}"))?;
        let mut names: Vec<String> =
            listed.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| name.starts_with("pubnet-ledger-") && name.ends_with(".xdr.gz"));
        names.sort();
        let mut all = Vec::new();
        for name in names {
            let packed = std::fs::read(folder.join(&name)).map_err(|error| format!("{name}: {error}"))?;
            let mut bytes = Vec::new();
            let unpacked = flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes);
            unpacked.map_err(|error| format!("{name}: {error}"))?;
            all.push(Sample::new(name.trim_end_matches(".xdr.gz"), bytes));
        }
        if all.is_empty() {
            return Err("the folder has none".to_owned());
        }
        let network = SorobanNetwork::shipped("stellar-pubnet").expect("it is shipped").expect("its file reads");
        Ok(Self { what: format!("{} real ledgers of the public network", all.len()), network, all })
    }

    fn invented() -> Self {
        let network = network(Asks::TwoOperators);
        let mut chain = Chain::new(&network.passphrase, 26);
        let all = (1..=3).map(|seed| {
            let transactions = busy::strangers(busy::TRANSACTIONS, seed, &money(&network));
            let closed = busy::shown(chain.close(&transactions, &Validator::new(1)));
            Sample::new(&format!("invented-{}", closed.at.height), closed.bytes())
        });
        let all: Vec<_> = all.collect();
        Self { what: format!("{} invented ledgers as full as the public network's", all.len()), network, all }
    }

    pub fn mean_kib(&self) -> usize {
        self.all.iter().map(|sample| sample.bytes.len()).sum::<usize>() / self.all.len().max(1) / 1_024
    }
}

impl Sample {
    fn new(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), text: STANDARD.encode(&bytes), bytes }
    }
}

/// Who signs the invented ledgers, by turns; each is an organisation of its own.
pub fn validators() -> [Validator; 3] {
    [Validator::new(1), Validator::new(2), Validator::new(3)]
}

/// What its network asks for before it believes.
#[derive(Clone, Copy)]
pub enum Asks {
    /// As the shipped file of the public network: two operators show the same ledger.
    TwoOperators,
    /// One operator, and validators of two organisations that built on the ledger.
    TwoAttestations,
}

/// The network of the invented ledgers.
pub fn network(asks: Asks) -> SorobanNetwork {
    let keys = validators().map(|validator| vec![validator.key()]);
    let text = network_file("A network of the figures ; November 2026", &keys);
    let text = match asks {
        Asks::TwoOperators => text
            .replace("rewind_operators = 1", "rewind_operators = 2")
            .replace("inclusion = \"proven\"", "inclusion = \"proven\"\noperators = 2"),
        Asks::TwoAttestations => text.replace("inclusion = \"proven\"", "inclusion = \"proven\"\nattestations = 2"),
    };
    SorobanNetwork::parse(&NetworkId::new("bench"), "bench.toml", &text).expect("its file reads")
}

/// The contract of that network's own money.
pub fn money(network: &SorobanNetwork) -> Token {
    let native = network.registry.contracts.values().find(|listed| listed.native).expect("its own money is listed");
    Token { contract: native.contract, name: native.sep11.clone() }
}
