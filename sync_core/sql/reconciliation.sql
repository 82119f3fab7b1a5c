-- Two sides of each level of reconciliation, pair by pair, for business days; what is equal is added up, the rest told.
--
-- A pair: level, business_date, channel, provider, location, kind, legal_entity, currency, the transaction (correlation_id,
-- origin, entity, entity_id), left_minor, right_minor, left_count, right_count; how much of the difference is explained
-- (explained_minor) and by what (why: timing, fees, tax, rounding, known), and what is wrong with the rest (cause).

-- name: absorb_touched
-- The business days of which something changed are to be reconciled again; whether any are.
with gone as (
    delete from core.touched_days returning business_date
), new as (
    insert into core.stale_days (business_date) select distinct business_date from gone on conflict do nothing returning 1
)
select exists (select from new) or exists (select from core.stale_days)

-- name: touch_days
-- Something of these business days has changed.
insert into core.touched_days (business_date) select unnest(%(days)s::date[])

-- name: days_due
-- Stale business days that have ended and of which nothing waits to be processed, oldest first, with their own clock.
with frontier as (
    select least(%(today)s::date,
                 coalesce((select max(business_date) from core.inbox
                           where document <> '' and exists (select 1 from core.files where state = 'reading')),
                          %(today)s::date)) as day,
           (select min(business_date) from core.inbox where state = 'queued') as queued
)
select business_date, coalesce(latest.clock_offset, interval '0'), coalesce(latest.provenance, 'live')
from frontier join core.stale_days on business_date < frontier.day and business_date < coalesce(queued, 'infinity')
left join lateral (
    (select clock_offset, provenance from core.inbox
     where inbox.business_date = stale_days.business_date and document <> '' order by seq desc limit 1)
    union all
    (select clock_offset, provenance from core.journals
     where journals.business_date = stale_days.business_date order by occurred_at desc limit 1)
    limit 1
) as latest on true
order by business_date limit %(limit)s

-- name: days_reconciled
-- These business days are no longer stale.
delete from core.stale_days where business_date = any(%(days)s::date[])

-- name: last_runs
-- How often each level of business days was reconciled, and what came out.
select level, business_date, runs, digest from core.reconciled where business_date = any(%(days)s::date[])

-- name: keep_runs
-- Remember what came out.
insert into core.reconciled (level, business_date, runs, digest, unexplained_minor, at)
select level, business_date, runs, digest, unexplained_minor, %(now)s
from unnest(%(level)s::text[], %(business_date)s::date[], %(runs)s::integer[], %(digest)s::bytea[],
            %(unexplained_minor)s::bigint[]) as new (level, business_date, runs, digest, unexplained_minor)
on conflict (level, business_date) do update
set runs = excluded.runs, digest = excluded.digest, unexplained_minor = excluded.unexplained_minor, at = excluded.at

-- name: keep_channel_days
-- How a business day came out for channels that are registered and not live.
insert into core.channel_days (channel, business_date, broken)
select channel, business_date, broken
from unnest(%(channel)s::text[], %(business_date)s::date[], %(broken)s::boolean[]) as new (channel, business_date, broken)
join core.channels using (channel) where not live
on conflict (channel, business_date) do update set broken = excluded.broken

-- name: channel_days
-- How the days of channels that are not live came out.
select channel, origin, identity, business_date, broken from core.channel_days join core.channels using (channel)
where channel = any(%(channels)s::text[]) and not live and business_date >= %(since)s

-- name: channels_live
-- These channels are live from now on.
with live as (update core.channels set live = true where channel = any(%(channels)s::text[]) returning channel)
delete from core.channel_days where channel in (select channel from live)

-- name: findings
-- What reconciliation has found wrong with business days and is still open.
select exception_id, level, business_date, correlation_id, origin from core.findings
where business_date = any(%(days)s::date[])

-- name: keep_findings
-- Remember what was found wrong.
insert into core.findings (exception_id, level, business_date, correlation_id, origin)
select * from unnest(%(exception_id)s::text[], %(level)s::text[], %(business_date)s::date[],
                     %(correlation_id)s::bytea[], %(origin)s::text[])
on conflict (exception_id) do nothing

-- name: drop_findings
-- What is right by now.
delete from core.findings where exception_id = any(%(exception_id)s::text[])

-- name: cells
-- What the pairs of each cell come to, by what explains their differences; then the pairs that differ, the unexplained
-- first.
with pair as materialized (
    /*pairs*/
)
select level, business_date, channel, provider, location, kind, legal_entity, currency, null::bytea, '', '', '',
       sum(left_minor)::bigint, sum(right_minor)::bigint, sum(left_count)::bigint, sum(right_count)::bigint,
       sum(explained_minor)::bigint, why, ''
from pair group by level, business_date, channel, provider, location, kind, legal_entity, currency, why
union all
(select level, business_date, channel, provider, location, kind, legal_entity, currency, correlation_id, origin,
        entity, entity_id, left_minor, right_minor, left_count, right_count, explained_minor, why, cause
 from pair where left_minor <> right_minor or cause <> ''
 order by cause = '', business_date, channel, provider, kind, entity_id limit %(limit)s)

-- name: pairs_at_source
-- L0: what a channel, a till or a provider says that a day came to, against what came in. Tax is a cell of its own.
with said as (
    select control_totals.*, document from core.control_totals
    left join lateral jsonb_to_recordset(documents) as document (number text, identity text, amount_minor bigint,
                                                                 tax_minor bigint) on true
    where business_date = any(%(days)s::date[]) and kind <> 'provider_day'
), listed as (
    select business_date, kind, channel, location, currency, origin, (document).number as number,
           decode((document).identity, 'hex') as about, (document).amount_minor, (document).tax_minor
    from said where document is not null
), came as (
    select inbox.business_date, inbox.channel, inbox.currency, inbox.about, inbox.document_id as number, inbox.gross_minor,
           inbox.tax_minor, inbox.location, inbox.source
    from core.inbox where business_date = any(%(days)s::date[]) and document = 'order'
), itemised as (
    select business_date, kind, channel, location, currency, origin from listed
    group by business_date, kind, channel, location, currency, origin
), matched as (
    select coalesce(listed.business_date, ours.business_date) as business_date,
           coalesce(listed.channel, ours.channel) as channel, coalesce(listed.location, ours.location) as location,
           coalesce(listed.kind, ours.kind) as kind, coalesce(listed.currency, ours.currency) as currency,
           coalesce(listed.about, ours.about) as about, coalesce(listed.number, ours.number) as number,
           coalesce(listed.origin, ours.origin) as origin,
           listed.amount_minor as l_amount, listed.tax_minor as l_tax, ours.gross_minor as r_amount,
           ours.tax_minor as r_tax, orders.business_date as elsewhere
    from listed full join (
        select came.*, itemised.kind, itemised.origin, itemised.location as asked from came
        join itemised on itemised.business_date = came.business_date and itemised.channel = came.channel
            and itemised.currency = came.currency and itemised.location in ('', came.location)
    ) as ours on ours.business_date = listed.business_date and ours.kind = listed.kind and ours.about = listed.about
    left join core.orders on ours.about is null and orders.correlation_id = listed.about
)
select 'L0' as level, business_date, channel, '' as provider, location, part as kind, '' as legal_entity, currency,
       about as correlation_id, origin, 'order' as entity, number as entity_id, coalesce(l, 0) as left_minor,
       coalesce(r, 0) as right_minor, (l is not null)::int as left_count, (r is not null)::int as right_count,
       case when elsewhere is not null then coalesce(l, 0) - coalesce(r, 0) else 0 end as explained_minor,
       case when elsewhere is not null then 'timing' else '' end as why,
       case when elsewhere is not null or coalesce(l, 0) = coalesce(r, 0) then ''
            when r is null then 'order_missing' when l is null then 'order_not_at_source'
            when part = 'tax' then 'tax_differs' else 'order_differs' end as cause
from matched cross join lateral (
    values (kind, l_amount, r_amount), ('tax', l_tax, r_tax)
) as side (part, l, r)
where not (part = 'tax' and (l is null or r is null))
union all
select 'L0', said.business_date, said.channel, '', said.location, part, '', said.currency, null, said.origin,
       'control_total', said.document_id, l, coalesce(r, 0), case when part = 'tax' then 0 else said.count end,
       case when part = 'tax' then 0 else coalesce(ours.count, 0) end, 0, '',
       case when l = coalesce(r, 0) and (part = 'tax' or said.count = coalesce(ours.count, 0)) then ''
            else 'control_total_differs' end
from said left join lateral (
    select count(*), sum(gross_minor)::bigint as minor, sum(came.tax_minor)::bigint as tax_minor from came
    where came.business_date = said.business_date and came.channel = said.channel and came.currency = said.currency
      and said.location in ('', came.location)
) as ours on true
cross join lateral (
    values (said.kind, said.amount_minor, ours.minor), ('tax', said.tax_minor, ours.tax_minor)
) as side (part, l, r)
where said.document is null and said.documents = '[]'
union all
select 'L0', stated.business_date, '', stated.provider, '', stated.kind, '', stated.currency, null, stated.origin,
       'control_total', stated.document_id, stated.amount_minor, coalesce(ours.minor, 0), stated.count,
       coalesce(ours.count, 0), 0, '',
       case when stated.amount_minor = coalesce(ours.minor, 0) and stated.count = coalesce(ours.count, 0) then ''
            else 'control_total_differs' end
from core.control_totals as stated left join lateral (
    select count(*), sum(amount_minor)::bigint as minor from core.open_items
    where open_items.business_date = stated.business_date and account = %(clearing)s || stated.provider
      and open_items.currency = stated.currency
) as ours on true
where stated.business_date = any(%(days)s::date[]) and stated.kind = 'provider_day'

-- name: pairs_of_documents
-- L1: what each document of a day says against what the journal holds of it; an order counts on its own day.
with told as (
    select business_date, channel, document, currency, about, max(document_id) as number, max(source) as source,
           sum(gross_minor)::bigint as minor, count(*) as documents,
           min(array_position(array['done', 'dead', 'rejected', 'parked', 'queued'], state)) as place
    from core.inbox where business_date = any(%(days)s::date[]) and document <> ''
    group by business_date, channel, document, currency, about
), booked as (
    select business_date, channel, document, currency, about, min(legal_entity) as legal_entity,
           sum(minor)::bigint as minor
    from (
        select coalesce(original_date, journals.business_date) as business_date, legal_entity, journals.channel, journals.document, journals.currency,
               journals.correlation_id as about, -journal_lines.amount_minor as minor
        from core.journals join core.journal_lines using (journal_id)
        where (original_date is null and journals.business_date = any(%(days)s::date[])
               or original_date = any(%(days)s::date[])) and journal_lines.kind <> ''
          and journals.document in ('charge', 'credit_memo', 'receivable', 'return')
        union all
        select orders.business_date, legal_entity, journals.channel, journals.document, journals.currency, journals.correlation_id,
               -journal_lines.amount_minor
        from core.orders join core.journals using (correlation_id) join core.journal_lines using (journal_id)
        where orders.business_date = any(%(days)s::date[]) and journals.document = 'order' and journal_lines.kind <> ''
    ) as lines
    group by business_date, channel, document, currency, about
), parked as (
    select correlation_id as about, document, sum(amount_minor)::bigint as minor from core.parked_items
    where business_date = any(%(days)s::date[]) and (state = 'open' or document = 'return' and state = 'matched')
    group by correlation_id, document
), pair as (
    select coalesce(told.business_date, booked.business_date) as business_date, coalesce(told.channel, booked.channel) as channel,
           coalesce(told.document, booked.document) as document, coalesce(told.currency, booked.currency) as currency,
           coalesce(told.about, booked.about) as about, told.number, told.source, coalesce(told.minor, 0) as l,
           coalesce(booked.minor, 0) as r, coalesce(told.documents, 0) as l_count, (booked.about is not null)::int as r_count,
           place, coalesce(legal_entity, max(legal_entity) over (partition by coalesce(told.business_date, booked.business_date),
                                                                              coalesce(told.channel, booked.channel)),
                           '') as legal_entity
    from told full join booked using (business_date, channel, document, currency, about)
)
select 'L1' as level, pair.business_date, pair.channel, '' as provider, '' as location, pair.document as kind,
       pair.legal_entity, pair.currency, pair.about as correlation_id, coalesce(origin, source, '') as origin,
       pair.document as entity, coalesce(number, '') as entity_id, l as left_minor, r as right_minor,
       l_count as left_count, r_count as right_count, explained_minor, reason.why,
       case when l - r = explained_minor then '' else 'journal_differs' end as cause
from pair
left join core.orders on pair.document = 'order' and orders.correlation_id = pair.about
left join parked on parked.document = pair.document and parked.about = pair.about
cross join lateral (
    select case when l = r then 0 when place > 1 or orders.provider = '' then l - r
                else coalesce(parked.minor, 0) end as explained_minor,
           case when l = r then '' when place > 3 or orders.provider = '' and orders.state <> 'cancelled' then 'timing'
                else 'known' end as why
) as reason

-- name: pairs_at_erp
-- L2: our journals against what the ERP has taken and, as far as it was read back, holds of them; one that waits to be
-- summarised is on its way.
select 'L2' as level, sent.business_date, sent.channel, '' as provider, '' as location, sent.document as kind,
       sent.legal_entity, sent.currency, sent.correlation_id, sent.origin, 'posting' as entity,
       sent.document || '/' || sent.entity_id as entity_id, worth_minor as left_minor,
       case when state = 'accepted' then worth_minor - differs_minor else 0 end as right_minor, 1 as left_count,
       (state = 'accepted')::int as right_count,
       case when state = 'accepted' then 0 else worth_minor end as explained_minor,
       case when state = 'accepted' then '' when state = 'waiting' then 'timing' else 'known' end as why,
       case when state = 'accepted' then difference else '' end as cause
from core.erp_documents as sent
where sent.business_date = any(%(days)s::date[]) and sent.kind = 'journal'
union all
select 'L2', journals.business_date, channel, '', '', document, journals.legal_entity, journals.currency,
       correlation_id, left(journal_id, -length(document) - length(entity_id) - 2), 'posting',
       document || '/' || entity_id, minor, 0, 1, 0, minor, 'timing', ''
from core.summary_journals join core.journals using (journal_id) cross join lateral (
    select sum(amount_minor)::bigint as minor from core.journal_lines
    where journal_lines.journal_id = journals.journal_id and amount_minor > 0
) as total
where summary_id is null and summary_journals.business_date = any(%(days)s::date[])

-- name: pairs_settled
-- L3: what providers owe of a day against what their settlements say of it; L4: payouts, and cash that was collected,
-- against the bank's entries.
with item as (
    select case when account = any(%(banked)s::text[]) then 'L4' else 'L3' end as level,
           case when account = any(%(banked)s::text[]) then origin else substr(account, length(%(clearing)s) + 1)
           end as provider,
           case when account = %(cash)s then 'cash' when account = any(%(banked)s::text[]) then 'payout'
                when open_items.document = 'refund' then 'refund' else 'sale' end as what,
           open_items.*, coalesce(journals.legal_entity, '') as legal_entity
    from core.open_items left join core.journals using (journal_id)
    where open_items.business_date = any(%(days)s::date[])
), line as (
    select case when settlements.kind = 'bank' then 'L4' else 'L3' end as level,
           case when settlements.kind <> 'bank' then settlement_lines.kind when account = %(cash)s then 'cash'
                else 'payout' end as what,
           settlements.origin, settlement_id, correlation_id, settlement_lines.*
    from core.settlements join core.settlement_lines using (settlement)
    where settlement_lines.business_date = any(%(days)s::date[]) and state in ('posted', 'matched')
      and (open_minor <> 0 or line_id in (select line_id from core.matches where by_whom <> '' and item_id is null))
), decided as (
    select line_id, item_id, by_whom, amount_minor, difference_minor from core.matches
    where undone_at is null and (difference_minor <> 0 or by_whom <> '')
)
select level, business_date, '' as channel, provider, '' as location, what as kind, legal_entity,
       item.currency, item.correlation_id, origin,
       case when what = 'cash' then 'fact' when level = 'L4' then 'settlement' when what = 'refund' then 'refund' else 'payment' end as entity,
       reference as entity_id, item.amount_minor as left_minor, item.amount_minor - open_minor as right_minor,
       1 as left_count, (open_minor = 0)::int as right_count,
       case when item.exception_id = '' then open_minor else 0 end as explained_minor,
       case when open_minor <> 0 and item.exception_id = '' then 'timing' else '' end as why,
       case when open_minor = 0 or item.exception_id = '' then '' else coalesce(raised.kind, 'unknown') end as cause
from item left join core.exceptions as raised on raised.exception_id = item.exception_id
union all
select level, business_date, '', provider, '', what, legal_entity, currency, correlation_id, origin, 'payment',
       reference, 0,
       -part, 0, 0, part, case when by_whom = '' then 'rounding' else 'known' end, ''
from item join decided using (item_id) cross join lateral (
    select decided.difference_minor + case when line_id is null then decided.amount_minor else 0 end as part
) as amount
where part <> 0
union all
select level, business_date, '', line.origin, '', what, '', line.currency,
       coalesce(raised.correlation_id, line.correlation_id), line.origin, 'settlement_line',
       settlement_id || '/' || coalesce(nullif(reference, ''), nullif(order_id, ''), position::text), 0, open_minor, 0, 1,
       case when line.exception_id = '' then -open_minor else 0 end,
       case when line.exception_id = '' then 'timing' else '' end,
       case when line.exception_id = '' then '' else coalesce(raised.kind, 'unknown') end
from line left join core.exceptions as raised on raised.exception_id = line.exception_id
where open_minor <> 0
union all
select level, business_date, '', origin, '', what, '', currency, correlation_id, origin, 'settlement_line',
       settlement_id || '/' || coalesce(nullif(reference, ''), position::text), 0, decided.amount_minor, 0, 1,
       -decided.amount_minor, 'known', ''
from line join decided using (line_id) where item_id is null

-- name: pairs_paid_out
-- L3: what a settlement's sales and refunds come to against what it paid out, by what was kept; a fee taken twice is
-- nobody's agreement.
with line as (
    select settlements.business_date as settled_on, origin, settlement_id, correlation_id, settlement_lines.*,
           settlement_lines.kind in ('fee', 'commission', 'fulfilment_fee') and reference <> '' and (
               select count(*) from core.settlement_lines as before join core.settlements as kept using (settlement)
               where before.account = settlement_lines.account and before.reference = settlement_lines.reference
                 and before.kind = settlement_lines.kind and before.amount_minor = settlement_lines.amount_minor
                 and before.line_id < settlement_lines.line_id and state <> 'superseded'
                 and before.kind in ('fee', 'commission', 'fulfilment_fee')
           ) >= greatest(1, (
               select count(*) from core.settlement_lines as sold
               where sold.settlement = settlement_lines.settlement and sold.reference = settlement_lines.reference
                 and sold.kind in ('sale', 'refund')
           )) as again
    from core.settlements join core.settlement_lines using (settlement)
    where settlements.business_date = any(%(days)s::date[]) and settlements.kind = 'processor'
      and state in ('posted', 'matched') and settlement_lines.kind not in ('sale', 'refund')
)
select 'L3' as level, settled_on as business_date, '' as channel, line.origin as provider, '' as location, 'net' as kind,
       '' as legal_entity, line.currency, line.correlation_id, line.origin, 'settlement' as entity,
       settlement_id as entity_id, -sum(amount_minor)::bigint as left_minor,
       case when kind = 'payout' then -sum(amount_minor)::bigint else 0 end as right_minor, count(*) as left_count,
       case when kind = 'payout' then count(*) else 0 end as right_count,
       case when kind in ('payout', 'unknown') then 0 else -sum(amount_minor)::bigint end as explained_minor,
       case when kind in ('payout', 'unknown') then '' when kind = 'tax' then 'tax'
            when kind in ('reserve', 'carried') then 'timing' when kind in ('chargeback', 'adjustment') then 'known'
            else 'fees' end as why,
       case when kind = 'unknown' then 'settlement_unknown_fee' else '' end as cause
from line where not again
group by settled_on, origin, currency, correlation_id, settlement_id, kind
union all
select 'L3', settled_on, '', line.origin, '', 'net', '', line.currency, coalesce(item.correlation_id, line.correlation_id),
       coalesce(item.origin, line.origin), 'payment', line.reference, -amount_minor, 0, 1, 0, 0, '', 'fee_doubled'
from line left join lateral (
    select correlation_id, origin from core.open_items
    where open_items.reference = line.reference and open_items.account = line.account order by item_id limit 1
) as item on true
where again

-- name: pairs_in_stock
-- L5: stock at its cost against its accounts, by location and bucket, as they are now (what is refurbished has a worth
-- of its own); what is owed for returns; what gift cards hold; and by code the tax that orders and returns come to. What
-- the books owe without a card's number (vouchers that have none, breakage) is known.
with posted as materialized (
    select location, account, reference, currency, correlation_id, document, tax_code, amount_minor
    from core.journals join core.journal_lines using (journal_id)
    where account = any(array[%(refunds)s, %(cards)s] || %(account)s::text[] || %(tax)s::text[])
), valued as (
    select location, bucket, currency, sum(units * coalesce(unit_cost_minor, 0))::bigint as minor, sum(units)::bigint as units
    from core.stock cross join lateral (
        values ('good', good), ('damaged', damaged), ('return_pending', return_pending), ('quarantine', quarantine)
    ) as held (bucket, units)
    where units <> 0 and currency <> '' group by location, bucket, currency
), booked as (
    select location, bucket, currency, sum(amount_minor)::bigint as minor
    from posted join unnest(%(bucket)s::text[], %(account)s::text[]) as of (bucket, account) using (account)
    group by location, bucket, currency
), owed as (
    select correlation_id, origin, return_id, currency, approved_minor - refunded_minor - released_minor as minor
    from core.returns where approved_minor > refunded_minor + released_minor
), approved as (
    select correlation_id, currency, -sum(amount_minor)::bigint as minor from posted where account = %(refunds)s
    group by correlation_id, currency having sum(amount_minor) <> 0
), held as (
    select origin || ':' || card_id as reference, currency, identity, origin, balance_minor as minor from core.gift_cards
), carried as (
    select reference, currency, -sum(amount_minor)::bigint as minor from posted where account = %(cards)s
    group by reference, currency
), taxed as (
    select correlation_id, origin, 'order' as entity, order_id as entity_id, currency, taxes, 1 as sign
    from core.orders where taxes is not null and provider <> ''
    union all
    select correlation_id, origin, 'return', return_id, currency, taxes, -1 from core.returns where taxes is not null
), tax_told as (
    select correlation_id, origin, entity, entity_id, currency, code, sign * minor::bigint as minor
    from taxed cross join jsonb_each_text(taxes) as of_code (code, minor)
), tax_booked as (
    select correlation_id, origin, entity, entity_id, currency, tax_code as code, -sum(amount_minor)::bigint as minor
    from taxed join posted using (correlation_id, currency)
    where account = any(%(tax)s::text[]) and document <> all(%(facts)s::text[])
    group by 1, 2, 3, 4, 5, 6 having sum(amount_minor) <> 0
)
select 'L5' as level, %(on)s::date as business_date, '' as channel, '' as provider, location, bucket as kind,
       '' as legal_entity, currency, null::bytea as correlation_id, '' as origin, 'stock' as entity,
       location || '/' || bucket as entity_id, coalesce(valued.minor, 0) as left_minor,
       coalesce(booked.minor, 0) as right_minor, coalesce(units, 0) as left_count, coalesce(units, 0) as right_count,
       0 as explained_minor, '' as why,
       case when coalesce(valued.minor, 0) = coalesce(booked.minor, 0) then '' else 'stock_value_differs' end as cause
from valued full join booked using (location, bucket, currency)
union all
select 'L5', %(on)s::date, '', '', '', 'refunds', '', coalesce(owed.currency, approved.currency),
       coalesce(owed.correlation_id, approved.correlation_id), coalesce(owed.origin, ''), 'return',
       coalesce(return_id, encode(approved.correlation_id, 'hex')), coalesce(owed.minor, 0), coalesce(approved.minor, 0),
       (owed.minor is not null)::int, (approved.minor is not null)::int, 0, '',
       case when coalesce(owed.minor, 0) = coalesce(approved.minor, 0) then '' else 'subledger_differs' end
from owed full join approved using (correlation_id, currency)
union all
select 'L5', %(on)s::date, '', '', '', 'gift_cards', '', currency, identity, coalesce(origin, ''), 'gift_card',
       coalesce(nullif(reference, ''), 'without a number'), coalesce(held.minor, 0), coalesce(carried.minor, 0),
       (held.minor is not null)::int, (carried.minor is not null)::int,
       case when reference = '' then -carried.minor else 0 end, case when reference = '' then 'known' else '' end,
       case when reference = '' or coalesce(held.minor, 0) = coalesce(carried.minor, 0) then '' else 'subledger_differs' end
from held full join carried using (reference, currency)
union all
select 'L5', %(on)s::date, '', '', '', 'tax' || coalesce(':' || nullif(code, ''), ''), '', currency, correlation_id,
       origin, entity, entity_id, coalesce(told.minor, 0), coalesce(booked.minor, 0), (told.minor is not null)::int,
       (booked.minor is not null)::int, 0, '',
       case when coalesce(told.minor, 0) = coalesce(booked.minor, 0) then '' else 'subledger_differs' end
from tax_told as told full join tax_booked as booked
    using (correlation_id, origin, entity, entity_id, currency, code)

-- name: stock_differences
-- Transactions whose movements at cost differ from what they booked to the accounts of a bucket at a location.
with moved as (
    select correlation_id, sum(quantity * factor * coalesce(unit_cost_minor, 0))::bigint as minor
    from core.movements join core.movement_lines using (movement_id)
    join unnest(%(kind)s::text[], %(counter)s::text[], %(factor)s::integer[]) as effect (kind, counter, factor) using (kind)
    join core.stock using (sku, location)
    where location = %(location)s and counter = %(bucket)s group by correlation_id
), booked as (
    select correlation_id, sum(amount_minor)::bigint as minor, min(journal_id) as journal_id
    from core.journals join core.journal_lines using (journal_id)
    where location = %(location)s and account = %(account)s group by correlation_id
)
select correlation_id, coalesce(journal_id, ''), coalesce(moved.minor, 0), coalesce(booked.minor, 0)
from moved full join booked using (correlation_id)
where coalesce(moved.minor, 0) <> coalesce(booked.minor, 0) order by correlation_id limit %(limit)s
