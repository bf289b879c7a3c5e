//! What the network's real token contract did, as it was written down in `fixtures/soroban/host`.

use std::path::{Path, PathBuf};

use amn_core::block::Address;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use stellar_xdr::{
    ContractEvent, HostFunction, InvokeHostFunctionOp, Limits, ReadXdr, ScVal, SorobanAuthorizationEntry,
};

use super::transaction::Tx;
use crate::address::{self, Place};

/// One call of a contract, and what the host came to.
#[derive(Clone, Debug)]
pub struct HostCall {
    /// What happens, in one sentence.
    pub title: String,
    pub protocol: u32,
    pub source: Place,
    pub op: InvokeHostFunctionOp,
    /// `None`: it failed.
    pub returned: Option<ScVal>,
    pub events: Vec<ContractEvent>,
}

/// The file of a call; what else stands in it is for people.
#[derive(Deserialize)]
struct File {
    title: String,
    protocol: u32,
    source: String,
    function: String,
    auth: Vec<String>,
    returned: Option<String>,
    events: Vec<String>,
}

/// Who takes part in the calls, by name.
#[derive(Clone, Debug, Deserialize)]
pub struct Cast {
    pub passphrase: String,
    names: std::collections::BTreeMap<String, String>,
}

impl Cast {
    pub fn load() -> Result<Self, String> {
        let path = folder().join("cast.json");
        serde_json::from_str(&text(&path)?).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// # Panics
    /// Where nobody is called so.
    #[must_use]
    pub fn place(&self, name: &str) -> Place {
        let of = self.names.get(name).unwrap_or_else(|| panic!("nobody is called {name:?}"));
        address::parse(of).unwrap_or_else(|error| panic!("{name}: {error}")).place
    }

    #[must_use]
    pub fn address(&self, name: &str) -> Address {
        self.place(name).spell()
    }
}

/// Where the calls are written down.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/soroban/host")
}

impl HostCall {
    /// The call of that name.
    pub fn load(name: &str) -> Result<Self, String> {
        let path = folder().join(format!("{name}.json"));
        let file = serde_json::from_str(&text(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::of(file).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn of(file: File) -> Result<Self, String> {
        let source = address::parse(&file.source).map_err(|error| format!("source: {error}"))?.place;
        let auth = file.auth.iter().map(|text| read::<SorobanAuthorizationEntry>("auth", text));
        let auth: Vec<_> = auth.collect::<Result<_, _>>()?;
        let op = InvokeHostFunctionOp {
            host_function: read::<HostFunction>("function", &file.function)?,
            auth: auth.try_into().map_err(|_| "auth: too long".to_owned())?,
        };
        let returned = file.returned.as_deref().map(|text| read("returned", text)).transpose()?;
        let events = file.events.iter().map(|text| read("events", text)).collect::<Result<_, _>>()?;
        Ok(Self { title: file.title, protocol: file.protocol, source, op, returned, events })
    }

    /// The transaction that makes this call.
    #[must_use]
    pub fn tx(&self) -> Tx {
        Tx::of(self.source).invoke(self.op.clone(), self.returned.clone(), self.events.clone())
    }
}

/// The names of all calls, in order.
pub fn names() -> Result<Vec<String>, String> {
    let folder = folder();
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        names.extend(
            name.filter(|name| *name != "cast" && path.extension().is_some_and(|kind| kind == "json"))
                .map(str::to_owned),
        );
    }
    names.sort();
    Ok(names)
}

fn text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn read<T: ReadXdr>(member: &str, text: &str) -> Result<T, String> {
    let bytes = STANDARD.decode(text).map_err(|error| format!("{member}: {error}"))?;
    T::from_xdr(&bytes, Limits { depth: crate::ledger::DEPTH_MAX, len: bytes.len() })
        .map_err(|error| format!("{member}: {error}"))
}
