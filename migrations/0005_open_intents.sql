-- What may still expire, as a column: an intent that moves from awaiting to detected keeps its place in every index, so
-- that only its own page is written, and there is room on that page. With a million intents, each payment otherwise
-- writes five pages that nobody touched since the last checkpoint, whole, to the log.
alter table amn.intent add column open boolean not null generated always as (status in ('awaiting', 'detected', 'reversed')) stored;
drop index amn.intent_expiry;
create index intent_expiry on amn.intent (network_id, expires_at) where open;
alter table amn.intent set (fillfactor = 80);
