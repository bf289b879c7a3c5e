-- Pages of lists, newest first: an operator's look at all intents and deposits walks an index, not the table.

create index intent_newest on amn.intent (created_at, id);
create index deposit_newest on amn.deposit (seen_at, id);
create index deposit_tenant_newest on amn.deposit (tenant_id, seen_at, id);
