//! Endpoints: where events are sent, and the secrets they are signed with.

use std::fmt;

use amn_core::id::{EndpointId, EventId};
use amn_core::timestamp::Timestamp;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::outbox::signature::Secret;
use crate::store::outbox::enqueue_to;
use crate::store::row::{moment, timestamp};

/// How long the old secret of a rotation signs as well, unless the caller says otherwise.
pub const OVERLAP_MS_DEFAULT: i64 = 24 * 60 * 60 * 1_000;

/// An endpoint to be made. Its URL was vetted by the guard.
#[derive(Debug, Clone, Copy)]
pub struct NewEndpoint<'a> {
    pub id: EndpointId,
    /// `None`: the operator's own.
    pub tenant: Option<&'a str>,
    pub url: &'a str,
    /// `None`: every event.
    pub events: Option<&'a [String]>,
    pub secret: &'a Secret,
}

/// An endpoint as it is shown; its secret was shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub id: EndpointId,
    pub tenant: Option<String>,
    pub url: String,
    pub events: Option<Vec<String>>,
    pub paused: bool,
    pub paused_reason: Option<String>,
    pub created_at: Timestamp,
    /// Until when the secret before this one signs too.
    pub previous_until: Option<Timestamp>,
}

impl fmt::Debug for Endpoint {
    /// Without the URL: its path is often a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("id", &self.id).field("paused", &self.paused).finish_non_exhaustive()
    }
}

/// Which endpoints a caller may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    Tenant(&'a str),
    /// The operator: every tenant's and its own.
    All,
}

impl<'a> Scope<'a> {
    const fn tenant(self) -> Option<&'a str> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::All => None,
        }
    }
}

pub async fn create(
    connection: &mut PgConnection,
    new: &NewEndpoint<'_>,
    now: Timestamp,
) -> Result<Endpoint, sqlx::Error> {
    if let Some(tenant) = new.tenant {
        sqlx::query!(
            "insert into amn.tenant (id, created_at) values ($1, $2) on conflict do nothing",
            tenant,
            moment(now)
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query!(
        "
        insert into amn.endpoint (id, tenant_id, url, secret, events, created_at)
        values ($1, $2, $3, $4, $5, $6)
        ",
        Uuid::from_u128(new.id.0),
        new.tenant,
        new.url,
        new.secret.reveal(),
        new.events,
        moment(now),
    )
    .execute(connection)
    .await?;
    Ok(Endpoint {
        id: new.id,
        tenant: new.tenant.map(str::to_owned),
        url: new.url.to_owned(),
        events: new.events.map(<[String]>::to_vec),
        paused: false,
        paused_reason: None,
        created_at: now,
        previous_until: None,
    })
}

/// Endpoints in the order of their ids, after one, at most `most`.
pub async fn list(
    executor: impl PgExecutor<'_>,
    scope: Scope<'_>,
    after: Option<EndpointId>,
    most: u32,
) -> Result<Vec<Endpoint>, sqlx::Error> {
    let rows = sqlx::query!(
        "
        select w.id, w.tenant_id, w.url, w.events, w.status, w.paused_reason, w.created_at, w.previous_until
        from amn.endpoint w
        where w.deleted_at is null
          and ($1::text is null or w.tenant_id = $1)
          and ($2::uuid is null or w.id > $2)
        order by w.id
        limit $3
        ",
        scope.tenant(),
        after.map(|id| Uuid::from_u128(id.0)),
        i64::from(most),
    )
    .fetch_all(executor)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Endpoint {
            id: EndpointId(row.id.as_u128()),
            tenant: row.tenant_id,
            url: row.url,
            events: row.events,
            paused: row.status == "paused",
            paused_reason: row.paused_reason,
            created_at: timestamp(row.created_at),
            previous_until: row.previous_until.map(timestamp),
        })
        .collect())
}

/// Stops sending; deliveries go on waiting and cost no attempt. `false`: there is no such endpoint.
pub async fn pause(
    executor: impl PgExecutor<'_>,
    scope: Scope<'_>,
    id: EndpointId,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let paused = sqlx::query!(
        "
        update amn.endpoint
        set status = 'paused', paused_reason = $3
        where id = $1
          and deleted_at is null
          and ($2::text is null or tenant_id = $2)
        ",
        Uuid::from_u128(id.0),
        scope.tenant(),
        reason,
    )
    .execute(executor)
    .await?;
    Ok(paused.rows_affected() == 1)
}

/// Sends again what waited. Wake the dispatcher after the commit. `false`: there is no such endpoint.
pub async fn resume(executor: impl PgExecutor<'_>, scope: Scope<'_>, id: EndpointId) -> Result<bool, sqlx::Error> {
    let resumed = sqlx::query!(
        "
        update amn.endpoint
        set status = 'active', paused_reason = null
        where id = $1
          and deleted_at is null
          and ($2::text is null or tenant_id = $2)
        ",
        Uuid::from_u128(id.0),
        scope.tenant(),
    )
    .execute(executor)
    .await?;
    Ok(resumed.rows_affected() == 1)
}

/// Signs with `secret` from now on, and with the one before it until `previous_until`.
/// `false`: there is no such endpoint.
pub async fn rotate_secret(
    executor: impl PgExecutor<'_>,
    scope: Scope<'_>,
    id: EndpointId,
    secret: &Secret,
    previous_until: Timestamp,
) -> Result<bool, sqlx::Error> {
    let rotated = sqlx::query!(
        "
        update amn.endpoint
        set secret = $3, previous_secret = secret, previous_until = $4
        where id = $1
          and deleted_at is null
          and ($2::text is null or tenant_id = $2)
        ",
        Uuid::from_u128(id.0),
        scope.tenant(),
        secret.reveal(),
        moment(previous_until),
    )
    .execute(executor)
    .await?;
    Ok(rotated.rows_affected() == 1)
}

/// Forgets an endpoint: its row stays for the history, what waits for it goes, and its secrets are wiped.
/// `false`: there is no such endpoint.
pub async fn delete(
    connection: &mut PgConnection,
    scope: Scope<'_>,
    id: EndpointId,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query_scalar!(
        r#"
        with gone as (
          update amn.endpoint
          set deleted_at = $3, secret = '', previous_secret = null, previous_until = null
          where id = $1
            and deleted_at is null
            and ($2::text is null or tenant_id = $2)
          returning id
        ), dropped as (
          delete from amn.delivery d using gone where d.endpoint_id = gone.id
        )
        select count(*) as "deleted!" from gone
        "#,
        Uuid::from_u128(id.0),
        scope.tenant(),
        moment(now),
    )
    .fetch_one(connection)
    .await?;
    Ok(deleted == 1)
}

/// Makes an `endpoint.test` event and its delivery to this endpoint alone. Wake the dispatcher after the commit.
/// `false`: there is no such endpoint.
pub async fn test(
    connection: &mut PgConnection,
    scope: Scope<'_>,
    id: EndpointId,
    event: EventId,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let body = test_body(event, now);
    let made = sqlx::query!(
        "
        insert into amn.event (id, tenant_id, event, body, created_at)
        select $3, w.tenant_id, 'endpoint.test', $4, $5
        from amn.endpoint w
        where w.id = $1
          and w.deleted_at is null
          and ($2::text is null or w.tenant_id = $2)
        ",
        Uuid::from_u128(id.0),
        scope.tenant(),
        Uuid::from_u128(event.0),
        body.as_bytes(),
        moment(now),
    )
    .execute(&mut *connection)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(false);
    }
    enqueue_to(connection, Uuid::from_u128(event.0), Uuid::from_u128(id.0), now).await?;
    Ok(true)
}

/// The contract's fields, in the order of the alphabet, with nothing to tell.
fn test_body(event: EventId, now: Timestamp) -> String {
    format!(
        concat!(
            r#"{{"created_at":"{}","deposits":[],"deposits_total":0,"event":"endpoint.test","id":"{}","intent":null,"#,
            r#""network":null,"policy":null,"provider":"amn.scanner","reason":null,"sequence":null,"version":"{}"}}"#,
        ),
        now,
        event,
        amn_core::event::CONTRACT_VERSION,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_event_has_every_field_of_the_contract_in_the_order_of_the_alphabet() {
        let body = test_body(EventId(7), Timestamp::from_seconds(1_795_253_352));
        let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(parsed.to_string(), body, "keys are sorted and nothing is spaced out");
        assert_eq!(parsed.as_object().unwrap().len(), 12);
        assert_eq!(parsed["event"], "endpoint.test");
        assert_eq!(parsed["created_at"], "2026-11-21T09:29:12Z");
    }

    #[test]
    fn an_endpoint_does_not_show_its_url_where_it_is_logged() {
        let endpoint = Endpoint {
            id: EndpointId(1),
            tenant: None,
            url: "https://hooks.example.com/s3cret".to_owned(),
            events: None,
            paused: false,
            paused_reason: None,
            created_at: Timestamp::from_seconds(0),
            previous_until: None,
        };
        assert!(!format!("{endpoint:?}").contains("s3cret"));
    }
}
