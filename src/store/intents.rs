//! New intents, through the one function of the database that makes them.

use amn_core::block::{Address, AssetId, Height, NetworkId, Reference};
use amn_core::confirmation::Require;
use amn_core::id::IntentId;
use amn_core::money::Amount;
use amn_core::timestamp::Timestamp;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::row::moment;

/// What is to tell payments of an intent apart. The database knows the words; none is a reference of any family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Wish {
    /// As is usual at such an address: Stellar's accounts and TON's addresses are shared, everything else is the
    /// intent's alone.
    #[default]
    Usual,
    /// One that no intent at this address ever had.
    Fresh,
    /// None: the intent owns its address alone.
    Alone,
    This(Reference),
}

impl Wish {
    pub const FRESH: &str = "fresh";
    pub const ALONE: &str = "none";

    /// The text as the caller of `amn.create_intent` writes it; `parse` reads a reference.
    pub fn read<E>(text: Option<&str>, parse: impl FnOnce(&str) -> Result<Reference, E>) -> Result<Self, E> {
        Ok(match text {
            None => Self::Usual,
            Some(Self::FRESH) => Self::Fresh,
            Some(Self::ALONE) => Self::Alone,
            Some(text) => Self::This(parse(text)?),
        })
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Usual => None,
            Self::Fresh => Some(Self::FRESH),
            Self::Alone => Some(Self::ALONE),
            Self::This(reference) => Some(reference.as_str()),
        }
    }
}

/// All that is written of a new intent.
#[derive(Debug)]
pub struct NewIntent {
    pub id: IntentId,
    pub tenant: String,
    pub network: NetworkId,
    pub asset: AssetId,
    pub due: Amount,
    pub tolerance: Amount,
    pub address: Address,
    pub reference: Wish,
    pub expires_at: Option<Timestamp>,
    pub require: Require,
    pub metadata: Value,
    pub since_height: Option<Height>,
    pub allow_reuse: bool,
    pub derivation_index: Option<u32>,
    pub created_at: Timestamp,
}

/// Why the database takes no such intent. The text is the database function's own.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("{0}")]
    UnknownNetwork(String),
    #[error("{0}")]
    UnknownAsset(String),
    #[error("{0}")]
    BadAddress(String),
    #[error("{0}")]
    AddressTaken(String),
    #[error("{0}")]
    BadAmount(String),
    #[error("{0}")]
    SinceOutOfRange(String),
    #[error("{0}")]
    BadReference(String),
    #[error("metadata takes more than 8192 bytes as stored")]
    MetadataTooLarge,
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for CreateError {
    fn from(error: sqlx::Error) -> Self {
        let Some(said) = error.as_database_error() else { return Self::Database(error) };
        let text = said.message().to_owned();
        match said.code().as_deref() {
            Some("AMN01") => Self::UnknownNetwork(text),
            Some("AMN02") => Self::UnknownAsset(text),
            Some("AMN03") => Self::BadAddress(text),
            Some("AMN04") => Self::AddressTaken(text),
            Some("AMN05") => Self::BadAmount(text),
            Some("AMN06") => Self::SinceOutOfRange(text),
            Some("AMN07") => Self::BadReference(text),
            _ if said.constraint() == Some("intent_metadata_check") => Self::MetadataTooLarge,
            // Two requests for one new address at once: the key's constraint lets one through.
            _ if said.constraint() == Some("watch_network_id_address_key_reference_key") => {
                Self::AddressTaken("another intent took the address at this moment".to_owned())
            }
            _ => Self::Database(error),
        }
    }
}

/// Creates an intent and its watch.
pub async fn create(db: &mut PgConnection, new: &NewIntent) -> Result<(), CreateError> {
    let require = serde_json::to_value(new.require).unwrap_or_default();
    sqlx::query_scalar!(
        "select amn.create_intent(
          tenant => $1,
          network => $2,
          asset => $3,
          due => $4::text::numeric,
          address => $5,
          reference => $6,
          tolerance => $7::text::numeric,
          expires_at => $8,
          require => $9,
          metadata => $10,
          since_height => $11,
          allow_reuse => $12,
          id => $13,
          derivation_index => $14,
          created_at => $15
        )",
        new.tenant,
        new.network.as_str(),
        new.asset.as_str(),
        new.due.to_string(),
        new.address.as_str(),
        new.reference.as_text(),
        new.tolerance.to_string(),
        new.expires_at.map(moment),
        require,
        new.metadata,
        new.since_height.map(|h| i64::try_from(h.0).unwrap_or(i64::MAX)),
        new.allow_reuse,
        Uuid::from_u128(new.id.0),
        new.derivation_index.map(i64::from),
        moment(new.created_at)
    )
    .fetch_one(db)
    .await?;
    Ok(())
}

/// Whether any intent has, or had, this address.
pub async fn address_is_known(
    db: &mut PgConnection,
    network: &NetworkId,
    address: &Address,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
          select 1 from amn.watch
          where network_id = $1 and address_key = case when $2 like '0x%' then lower($2) else $2 end
        ) as "known!""#,
        network.as_str(),
        address.as_str()
    )
    .fetch_one(db)
    .await
}
