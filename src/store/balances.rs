//! Native balances: what was read, what is known to have arrived since, and who is due to be looked at.

use amn_core::block::{Address, BlockRef, Header, Height, NetworkId};
use amn_core::money::Amount;
use sqlx::PgPool;

use super::StoreError;
use super::row::{Place, height, moment};

/// Addresses looked at in one round: each costs a request or more.
const DUE_MAX: i64 = 20;

/// A native watch whose balance is due to be looked at.
#[derive(Debug)]
pub struct Due {
    pub watch: i64,
    pub address: Address,
    /// The first height it is watched from.
    pub since: Height,
    /// The balance when it was last looked at, and where.
    pub last: Option<(Amount, Height)>,
}

/// Native watches not looked at for `every` blocks, or whose intent is about to expire. An address is
/// looked at until 30 days after the end of its intent.
pub async fn due(pool: &PgPool, network: &NetworkId, at: &Header, every: u64) -> Result<Vec<Due>, StoreError> {
    let rows = sqlx::query!(
        r#"
        select w.id, w.address, w.since_height, w.balance::text as balance, w.balance_height
        from amn.watch w
        join amn.intent i on i.id = w.intent_id
        where w.network_id = $1 and w.native and w.since_height <= $2
          and (
            w.balance_height is null
            or w.balance_height + $3 <= $2
            or (w.balance_height < $2 and i.expires_at < $4 and w.balance_time <= i.expires_at)
          )
          and (i.ended_at is null or i.ended_at > $4 - interval '30 days')
        order by w.balance_height nulls first
        limit $5
        "#,
        network.as_str(),
        height(at.at.height),
        i64::try_from(every).unwrap_or(i64::MAX),
        moment(at.time),
        DUE_MAX,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let at = |column| Place { table: "watch", id: &row.id }.at(column);
            let last = match (row.balance, row.balance_height) {
                (Some(amount), Some(read)) => {
                    Some((at("balance").amount(&amount)?, at("balance_height").height(read)?))
                }
                _ => None,
            };
            let since = at("since_height").height(row.since_height)?;
            Ok(Due { watch: row.id, address: Address::new(&row.address), since, last })
        })
        .collect()
}

/// What is known to have arrived natively at an address, above one height and up to another.
pub async fn arrived(
    pool: &PgPool,
    network: &NetworkId,
    address: &Address,
    above: Height,
    up_to: Height,
) -> Result<Amount, StoreError> {
    let sum = sqlx::query_scalar!(
        r#"
        select coalesce(sum(d.amount), 0)::text as "sum!"
        from amn.deposit d
        join amn.asset a on a.network_id = d.network_id and a.id = d.asset_id
        where d.network_id = $1 and lower(d.to_address) = lower($2) and a.native
          and d.status in ('seen', 'settled') and d.block_height > $3 and d.block_height <= $4
        "#,
        network.as_str(),
        address.as_str(),
        height(above),
        height(up_to),
    )
    .fetch_one(pool)
    .await?;
    Ok(Place { table: "deposit", id: address }.at("amount").amount(&sum)?)
}

/// Notes a balance and where it was read.
pub async fn note(pool: &PgPool, watch: i64, balance: Amount, at: &Header) -> Result<(), StoreError> {
    sqlx::query!(
        "update amn.watch set balance = $2::text::numeric, balance_height = $3, balance_time = $4 where id = $1",
        watch,
        balance.to_string(),
        height(at.at.height),
        moment(at.time),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// The name of a transfer that no node shows: the block it was found in, and the watch.
#[must_use]
pub fn unseen(at: BlockRef, watch: i64) -> amn_core::block::TransferId {
    let index = u32::try_from(watch.rem_euclid(1 << 31)).unwrap_or_default();
    amn_core::block::TransferId { tx: at.hash, kind: amn_core::block::Kind::Internal, index }
}
