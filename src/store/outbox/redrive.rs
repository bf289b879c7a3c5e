//! Sends again what was given up, or was delivered to a receiver that lost it: same id, same bytes, one generation more.

use amn_core::timestamp::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::row::moment;

/// The most one redrive makes: a receiver that comes back is not buried; ask again for more.
pub const REDRIVE_MAX: u32 = 1_000;

/// What to send again; what is `None` restricts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Redrive<'a> {
    /// Only endpoints of this tenant.
    pub tenant: Option<&'a str>,
    pub event: Option<Uuid>,
    pub endpoint: Option<Uuid>,
    /// By the time of the last attempt: from, inclusive …
    pub from: Option<Timestamp>,
    /// … until, exclusive.
    pub until: Option<Timestamp>,
    /// Also what was delivered; else dead letters only.
    pub delivered_too: bool,
}

/// Makes deliveries again, oldest first, up to `most`, and answers how many. What is pending stays as it is.
pub async fn redrive(
    connection: &mut PgConnection,
    what: &Redrive<'_>,
    now: Timestamp,
    most: u32,
) -> Result<u64, sqlx::Error> {
    let made = sqlx::query_scalar!(
        r#"
        with ended as (
          select l.event_id, l.endpoint_id, max(l.generation) as generation, max(l.at) as at
          from (
            select d.event_id, d.endpoint_id, d.generation, d.at
            from amn.dead_letter d
            where d.redriven_at is null
              and ($1::uuid is null or d.event_id = $1)
              and ($2::uuid is null or d.endpoint_id = $2)
            union all
            select a.event_id, a.endpoint_id, a.generation, a.at
            from amn.attempt a
            where $6
              and a.outcome = 'delivered'
              and ($1::uuid is null or a.event_id = $1)
              and ($2::uuid is null or a.endpoint_id = $2)
          ) l
          where ($3::timestamptz is null or l.at >= $3)
            and ($4::timestamptz is null or l.at < $4)
          group by l.event_id, l.endpoint_id
        ), chosen as (
          select ended.event_id, ended.endpoint_id, e.intent_id, e.sequence,
            -- One more than any generation there was, whichever this one was chosen for.
            greatest(
              ended.generation,
              (select max(a.generation) from amn.attempt a where a.event_id = ended.event_id and a.endpoint_id = ended.endpoint_id),
              (select max(d.generation) from amn.dead_letter d where d.event_id = ended.event_id and d.endpoint_id = ended.endpoint_id)
            ) + 1 as generation
          from ended
          join amn.event e on e.id = ended.event_id
          join amn.endpoint w on w.id = ended.endpoint_id
          where w.deleted_at is null
            and ($5::text is null or w.tenant_id = $5)
            and not exists (
              select from amn.delivery p where p.event_id = ended.event_id and p.endpoint_id = ended.endpoint_id
            )
          order by ended.at, e.sequence, ended.event_id
          limit $8
        ), made as (
          insert into amn.delivery (event_id, endpoint_id, intent_id, sequence, generation, next_at)
          select c.event_id, c.endpoint_id, c.intent_id, c.sequence, c.generation, $7
          from chosen c
          order by c.sequence, c.event_id
          on conflict (event_id, endpoint_id) do nothing
          returning event_id, endpoint_id
        ), told as (
          update amn.dead_letter d
          set redriven_at = $7
          from made
          where d.event_id = made.event_id
            and d.endpoint_id = made.endpoint_id
            and d.redriven_at is null
        )
        select count(*) as "made!" from made
        "#,
        what.event,
        what.endpoint,
        what.from.map(moment),
        what.until.map(moment),
        what.tenant,
        what.delivered_too,
        moment(now),
        i64::from(most.min(REDRIVE_MAX)),
    )
    .fetch_one(connection)
    .await?;
    Ok(u64::try_from(made).unwrap_or(0))
}
