//! Intents over HTTP: made once however often they are asked for, read, canceled, accepted.

use std::sync::Arc;

use amn_core::block::{Address, Height, NetworkId, Reference};
use amn_core::confirmation::Require;
use amn_core::engine::Command;
use amn_core::id::IntentId;
use amn_core::intent::Status;
use amn_core::money::Amount;
use amn_core::network::Asset;
use amn_core::timestamp::Timestamp;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlx::PgConnection;

use super::auth::Caller;
use super::input::{Body, Findings, NoBody, Params, path_id};
use super::page::{self, after, cursor};
use super::problem::{Code, Problem};
use super::{App, AppState, json_answer, view};
use crate::store::idempotency::{self, Claim};
use crate::store::intents::{self, CreateError, NewIntent, Wish as ReferenceWish};
use crate::store::read;
use crate::store::tenants;

/// As the database bounds it.
const METADATA_BYTES_MAX: usize = 8 * 1024;
/// Longer references exist on no chain we know: TON's are 256 bytes, in hexadecimal digits at worst.
const REFERENCE_LENGTH_MAX: usize = 560;
/// Further away is a slip of units (milliseconds for seconds).
const EXPIRY_DAYS_MAX: i64 = 5 * 366;
/// How many taken indexes one request steps over before a person should look.
const INDEXES_SKIPPED_MAX: u32 = 100;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What a caller asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    tenant: Option<String>,
    network: String,
    asset: String,
    due: Amount,
    tolerance: Option<Amount>,
    address: Option<String>,
    reference: Option<String>,
    expires_at: Option<Timestamp>,
    require: Option<Require>,
    metadata: Option<Map<String, Value>>,
    /// A decimal string, as heights are everywhere.
    since_height: Option<Amount>,
    allow_reuse: Option<bool>,
}

pub async fn create(
    State(app): App,
    caller: Caller,
    headers: HeaderMap,
    body: Body<Asked>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let tenant = caller
        .tenant_for(body.input.tenant.clone())?
        .ok_or_else(|| Problem::field(Code::InvalidBody, "tenant", "an operator's key names the tenant"))?;
    let wanted = check(&app, tenant, body.input)?;

    let mut tx = app.pool.begin().await?;
    let owner = caller.owner();
    if let Some(key) = &key {
        match idempotency::claim(&mut tx, &owner, key, &body.hash).await? {
            Claim::Free => {}
            Claim::Answered { status, answer } => return Ok(created(status, &answer, true)),
            Claim::OtherBody => {
                let detail = "this Idempotency-Key was used with another body; take a new key for a new intent";
                return Err(Problem::new(Code::IdempotencyConflict, detail));
            }
        }
    }
    let new = with_address(&app, &mut tx, wanted).await?;
    intents::create(&mut tx, &new).await?;
    let made = read::intents::get(&mut *tx, new.id).await?;
    let made = made.ok_or_else(|| Problem::new(Code::Internal, "the intent is not there after it was made"))?;
    let answer = view::intent_whole(&made, &[], 0, &*app.chains);
    if let Some(key) = &key {
        idempotency::record(&mut tx, &owner, key, &body.hash, (201, &answer), new.created_at).await?;
    }
    tx.commit().await?;
    app.wake.notify_one();
    let (id, network) = (new.id, &new.network);
    (app.look)(network);
    tracing::info!(intent.id = %id, network = %network, "created intent {id} on {network}");
    Ok(created(201, &answer, false))
}

fn created(status: u16, answer: &Value, replayed: bool) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::CREATED);
    let mut response = json_answer(status, answer).into_response();
    let location = answer["id"].as_str().and_then(|id| HeaderValue::from_str(&format!("/v1/intents/{id}")).ok());
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(one) = all.next() else { return Ok(None) };
    let text = one.to_str().unwrap_or("");
    let plain = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if !plain || all.next().is_some() {
        let message = "one header of 1 to 255 printable ASCII characters";
        return Err(Problem::field(Code::InvalidParameter, "Idempotency-Key", message));
    }
    Ok(Some(text.to_owned()))
}

/// Terms that hold together, before the database is asked. `address` may still have to be derived.
struct Wanted {
    new: NewIntent,
    derive: bool,
}

fn check(app: &AppState, tenant: String, asked: Asked) -> Result<Wanted, Problem> {
    let now = app.clock.now();
    super::tenants::check_name(&tenant)?;
    let network = NetworkId::new(&asked.network);
    let Some(facts) = app.chains.facts(&network) else {
        let served = app.chains.networks().iter().map(NetworkId::to_string).collect::<Vec<_>>().join(", ");
        return Err(Problem::field(Code::UnknownNetwork, "network", format!("not served here; there are {served}")));
    };
    // Hexadecimal is one asset in any case; the registry's spelling is kept.
    let Some(asset) = facts.assets.iter().find(|a| a.id.as_str().eq_ignore_ascii_case(&asked.asset)) else {
        return Err(Problem::field(Code::UnknownAsset, "asset", format!("{network} does not list it")));
    };
    let tolerance = asked.tolerance.unwrap_or_default();
    if asked.due.is_zero() || tolerance >= asked.due {
        let field = if asked.due.is_zero() { "due" } else { "tolerance" };
        return Err(Problem::field(Code::BadAmount, field, "due is more than zero, and tolerance less than due"));
    }
    let place = asked.address.as_deref().map(|text| app.chains.parse_address(&network, text)).transpose();
    let place = place.map_err(|why| Problem::field(Code::BadAddress, "address", why))?;
    let (address, within) = place.map_or((None, None), |(address, within)| (Some(address), within));

    let mut found = Findings::default();
    let reference = wish(app, &network, (asset, address.as_ref(), within), asked.reference.as_deref(), &mut found);
    if let Some(expires) = asked.expires_at {
        found.check(expires > now, "expires_at", "lies in the past");
        let days = (expires.seconds() - now.seconds()) / 86_400;
        found.check(days <= EXPIRY_DAYS_MAX, "expires_at", "lies more than five years ahead");
    }
    let require = asked.require.unwrap_or_default();
    super::thresholds::check_require(&require, "require", app.chains.attesters(&network), &mut found);
    let metadata = asked.metadata.unwrap_or_default();
    check_metadata(&metadata, &mut found);
    let since = asked.since_height.map(|h| i64::try_from(h.units()));
    found.check(!matches!(since, Some(Err(_))), "since_height", "no chain is that high");
    found.settle(Code::InvalidTerms)?;

    let id = IntentId(app.ids.next());
    let derive = address.is_none();
    let new = NewIntent {
        id,
        tenant,
        network,
        asset: asset.id.clone(),
        due: asked.due,
        tolerance,
        address: address.unwrap_or_else(|| Address::new("")),
        reference,
        expires_at: asked.expires_at,
        require,
        metadata: Value::Object(metadata),
        since_height: since.and_then(Result::ok).and_then(|h| u64::try_from(h).ok()).map(Height),
        allow_reuse: asked.allow_reuse.unwrap_or(false),
        derivation_index: None,
        created_at: now,
    };
    Ok(Wanted { new, derive })
}

/// What is to tell the intent's payments apart. `within`: the reference in the address itself.
fn wish(
    app: &AppState,
    network: &NetworkId,
    (asset, address, within): (&Asset, Option<&Address>, Option<Reference>),
    text: Option<&str>,
    found: &mut Findings,
) -> ReferenceWish {
    if text.is_some_and(|text| text.is_empty() || text.len() > REFERENCE_LENGTH_MAX) {
        found.add("reference", format!("1 to {REFERENCE_LENGTH_MAX} bytes, or left out"));
        return ReferenceWish::Usual;
    }
    let read = match ReferenceWish::read(text, |text| app.chains.parse_reference(network, text)) {
        Ok(read) => read,
        Err(why) => {
            found.add("reference", why);
            return ReferenceWish::Usual;
        }
    };
    let wish = match (read, within) {
        (read, None) => read,
        (ReferenceWish::Usual, Some(within)) => ReferenceWish::This(within),
        (ReferenceWish::This(reference), Some(within)) if reference == within => ReferenceWish::This(within),
        (_, Some(within)) => {
            found.add(
                "reference",
                format!("the address says {within} already: leave it out, or give the plain address"),
            );
            ReferenceWish::Usual
        }
    };
    if let (ReferenceWish::This(reference), Some(address)) = (&wish, address)
        && let Some(why) = app.chains.unpayable(network, asset, address, reference)
    {
        found.add("reference", why);
    }
    wish
}

fn check_metadata(metadata: &Map<String, Value>, found: &mut Findings) {
    let length = serde_json::to_string(metadata).map_or(usize::MAX, |text| text.len());
    found.check(length <= METADATA_BYTES_MAX, "metadata", format!("has at most {METADATA_BYTES_MAX} bytes"));
    // A fraction or a number past 64 bits would come back as another one.
    let exact = metadata.values().all(numbers_are_whole);
    found.check(exact, "metadata", "numbers are whole and fit 64 bits; send others as text");
}

fn numbers_are_whole(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Array(items) => items.iter().all(numbers_are_whole),
        Value::Object(fields) => fields.values().all(numbers_are_whole),
        _ => true,
    }
}

/// The intent with its address: the given one, or the next free one under the tenant's key.
async fn with_address(app: &AppState, db: &mut PgConnection, wanted: Wanted) -> Result<NewIntent, Problem> {
    let mut new = wanted.new;
    if !wanted.derive {
        return Ok(new);
    }
    let Some((xpub, first)) = tenants::lock(db, &new.tenant).await? else {
        let message = "give an address, or set the tenant's xpub first";
        return Err(Problem::field(Code::BadAddress, "address", message));
    };
    for index in first..first.saturating_add(INDEXES_SKIPPED_MAX) {
        let derived = app.chains.derive(&xpub, index);
        let derived = derived.and_then(|address| app.chains.parse_address(&new.network, address.as_str()));
        let (address, _) = derived.map_err(|why| Problem::field(Code::BadAddress, "address", why))?;
        if !intents::address_is_known(db, &new.network, &address).await? {
            tenants::used(db, &new.tenant, index).await?;
            new.address = address;
            new.derivation_index = Some(index);
            return Ok(new);
        }
    }
    let message = format!("{INDEXES_SKIPPED_MAX} addresses in a row are taken; set the tenant's first_index");
    Err(Problem::field(Code::AddressTaken, "address", message))
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        let text = error.to_string();
        match error {
            CreateError::UnknownNetwork(_) => Self::field(Code::UnknownNetwork, "network", text),
            CreateError::UnknownAsset(_) => Self::field(Code::UnknownAsset, "asset", text),
            CreateError::BadAddress(_) => Self::field(Code::BadAddress, "address", text),
            CreateError::AddressTaken(_) => Self::field(Code::AddressTaken, "address", text),
            CreateError::BadAmount(_) => Self::field(Code::BadAmount, "due", text),
            CreateError::SinceOutOfRange(_) => Self::field(Code::SinceOutOfRange, "since_height", text),
            CreateError::BadReference(_) => Self::field(Code::InvalidTerms, "reference", text),
            CreateError::MetadataTooLarge => Self::field(Code::InvalidTerms, "metadata", text),
            CreateError::Database(error) => error.into(),
        }
    }
}

pub async fn get(State(app): App, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    answer(&app, &caller, path_id("intent", &id)?).await
}

/// The intent as it stands, for whoever may see it.
async fn answer(app: &AppState, caller: &Caller, id: IntentId) -> Result<Response, Problem> {
    let intent = visible(app, caller, id).await?;
    let (deposits, total) = read::deposits::of_intent(&app.pool, id, view::DEPOSITS_LISTED_MAX).await?;
    let whole = view::intent_whole(&intent, &deposits, total, &*app.chains);
    Ok(json_answer(StatusCode::OK, &whole).into_response())
}

/// The intent, if it is there and the caller's to see.
pub(super) async fn visible(app: &AppState, caller: &Caller, id: IntentId) -> Result<read::intents::Intent, Problem> {
    let intent = read::intents::get(&app.pool, id).await?;
    intent.filter(|i| caller.sees(Some(&i.tenant))).ok_or_else(|| Problem::not_found("intent", id))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    tenant: Option<String>,
    network: Option<String>,
    status: Option<Status>,
    address: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub async fn list(State(app): App, caller: Caller, Params(wish): Params<Wish>) -> Result<Response, Problem> {
    let limit = page::limit(wish.limit)?;
    let after = after(wish.cursor.as_deref())?;
    if wish.address.is_some() && wish.network.is_none() {
        return Err(Problem::field(Code::InvalidParameter, "address", "name the network as well"));
    }
    // However it is written: what the family does not know as an address is nobody's.
    let spelled = |text: String| {
        let known = wish.network.as_deref().map(|network| app.chains.parse_address(&NetworkId::new(network), &text));
        known.and_then(Result::ok).map_or(text, |(address, _)| address.as_str().to_owned())
    };
    let address = wish.address.map(spelled);
    let filter = read::intents::Filter {
        tenant: caller.tenant_for(wish.tenant)?,
        network: wish.network,
        status: wish.status,
        address,
    };
    let rows = read::intents::list(&app.pool, &filter, after, page::with_one_more(limit)).await?;
    let page = page::page(rows, limit, |i| cursor(i.created_at, i.id.0), |i| view::intent(i, &*app.chains));
    Ok(json_answer(StatusCode::OK, &page).into_response())
}

pub async fn cancel(State(app): App, caller: Caller, Path(id): Path<String>, _: NoBody) -> Result<Response, Problem> {
    let intent = path_id("intent", &id)?;
    decide(&app, &caller, intent, Command::Cancel { intent }).await
}

pub async fn accept(State(app): App, caller: Caller, Path(id): Path<String>, _: NoBody) -> Result<Response, Problem> {
    let intent = path_id("intent", &id)?;
    decide(&app, &caller, intent, Command::Accept { intent }).await
}

async fn decide(app: &Arc<AppState>, caller: &Caller, id: IntentId, command: Command) -> Result<Response, Problem> {
    let intent = visible(app, caller, id).await?;
    app.decide.command(&intent.network, command, &caller.actor).await?;
    app.wake.notify_one();
    answer(app, caller, id).await
}
