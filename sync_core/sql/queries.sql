-- name: accept
-- Put events into the inbox unless their identity is known; returns the identities that were new.
insert into core.inbox (source, event_id, type, payload_hash, partition, provenance, occurred_at, business_date,
                        accepted_at, clock_offset, document, channel, currency, gross_minor, tax_minor, location, about,
                        document_id, body)
select source, event_id, type, payload_hash, partition, provenance, occurred_at, business_date,
       %(now)s, clock_offset, document, channel, currency, gross_minor, tax_minor, location, about, document_id, body
from unnest(%(source)s::text[], %(event_id)s::text[], %(type)s::text[], %(payload_hash)s::bytea[],
            %(partition)s::smallint[], %(provenance)s::text[], %(occurred_at)s::timestamptz[],
            %(business_date)s::date[], %(clock_offset)s::interval[], %(document)s::text[], %(channel)s::text[],
            %(currency)s::text[], %(gross_minor)s::bigint[], %(tax_minor)s::bigint[], %(location)s::text[],
            %(about)s::bytea[], %(document_id)s::text[], %(body)s::bytea[])
     with ordinality as new (source, event_id, type, payload_hash, partition, provenance, occurred_at, business_date,
                             clock_offset, document, channel, currency, gross_minor, tax_minor, location, about, document_id,
                             body, place)
order by place
on conflict (source, event_id) do nothing
returning source, event_id

-- name: known_hashes
-- The payload hashes under which identities were accepted.
select inbox.source, inbox.event_id, inbox.payload_hash
from core.inbox
join unnest(%(source)s::text[], %(event_id)s::text[]) as asked (source, event_id) using (source, event_id)

-- name: count_deliveries
-- Add to what was delivered by a source.
insert into core.deliveries (source, accepted, duplicates, conflicts)
values (%(source)s, %(accepted)s, %(duplicates)s, %(conflicts)s)
on conflict (source) do update
set accepted = deliveries.accepted + excluded.accepted,
    duplicates = deliveries.duplicates + excluded.duplicates,
    conflicts = deliveries.conflicts + excluded.conflicts

-- name: count_hours
-- Add to what was delivered by a source within the hour.
insert into core.delivery_hours (source, hour, accepted, redelivered)
values (%(source)s, date_trunc('hour', %(now)s, 'UTC'), %(accepted)s, %(duplicates)s)
on conflict (source, hour) do update
set accepted = delivery_hours.accepted + excluded.accepted,
    redelivered = delivery_hours.redelivered + excluded.redelivered, untold = true

-- name: count_replayed
-- Events of a source are played again.
insert into core.delivery_hours (source, hour, replayed)
values (%(source)s, date_trunc('hour', %(now)s, 'UTC'), %(count)s)
on conflict (source, hour) do update set replayed = delivery_hours.replayed + excluded.replayed, untold = true

-- name: hours_to_tell
-- The hours of sources that changed since they were told, marked as told.
update core.delivery_hours set untold = false, tellings = tellings + 1
where (source, hour) in (select source, hour from core.delivery_hours where untold
                         order by hour, source limit %(limit)s for update skip locked)
returning source, hour, accepted, redelivered, replayed, tellings

-- name: forget_hours
-- Hours long over, told as they are.
delete from core.delivery_hours where hour < %(before)s and not untold

-- name: queued
-- How many events wait to be processed.
select count(*) from (select 1 from core.inbox where state = 'queued' limit %(limit)s) as waiting

-- name: ready_partitions
-- Partitions that have an event which may be processed now.
select number from generate_series(0, %(partitions)s - 1) as number
where exists (
    select from core.inbox
    where state = 'queued' and partition = number and (not_before is null or not_before <= %(now)s)
    order by seq limit 1
)

-- name: end_with_client
-- What a connection holds is free a second after its process died, and within ten when its machine did.
set client_connection_check_interval = '1s'; set tcp_keepalives_idle = 4;
set tcp_keepalives_interval = 2; set tcp_keepalives_count = 3

-- name: wake_workers
-- Tell workers that there is something to do.
notify core_inbox

-- name: listen_inbox
-- Hear of what workers have to do.
listen core_inbox

-- name: listen_outbox
-- Hear of what relays have to do.
listen core_outbox

-- name: try_lock_partitions
-- Lease those that nobody holds to this connection; they are free again when the connection ends.
select partition from unnest(%(partitions)s::integer[]) as wanted (partition) where pg_try_advisory_lock(7401, partition)

-- name: unlock_partitions
-- Give partitions back.
select pg_advisory_unlock(7401, partition) from unnest(%(partitions)s::integer[]) as leased (partition)

-- name: claim
-- The next events of partitions, so many of each, in order of arrival.
select next.*
from unnest(%(partitions)s::smallint[]) as leased (partition) cross join lateral (
    select seq, source, event_id, type, payload_hash, provenance, occurred_at, business_date, clock_offset, body,
           attempts, partition, accepted_at
    from core.inbox
    where partition = leased.partition and state = 'queued' and (not_before is null or not_before <= %(now)s)
    order by seq limit %(limit)s
) as next
order by seq

-- name: load_orders
-- Orders by identity.
select correlation_id, origin, order_id, channel, location, currency, customer_ref, captured_at, business_date, state,
       amount_minor, tax_minor, open_tax_minor, provenance, totals, paid_minor, provider, contract, edited, partition,
       basket, tax_point, revenue_on, undelivered, taxes
from core.orders where correlation_id = any(%(ids)s::bytea[])

-- name: backorders_of
-- Orders that wait for one of the SKUs at a location, longest first.
select origin, order_id, partition from core.orders
where state in ('backordered', 'partially_shipped') and location = any(%(location)s::text[]) and exists (
    select from core.order_lines
    join unnest(%(sku)s::text[], %(location)s::text[]) as new (sku, location) on new.sku = order_lines.sku
    where order_lines.correlation_id = orders.correlation_id and new.location = orders.location
        and order_lines.kind = 'goods' and reserved < quantity - cancelled - shipped
)
order by captured_at, correlation_id limit %(limit)s

-- name: load_lines
-- The lines of orders.
select correlation_id, line_no, sku, kind, quantity, amount_minor, unit_price_micros, position, reserved, cancelled,
       returned, shipped, edited_at, tax_code, tax_minor
from core.order_lines where correlation_id = any(%(ids)s::bytea[]) order by correlation_id, line_no

-- name: find_open_lines
-- The orders in which customers bought codes of which something is still open, found order by order.
select distinct orders.correlation_id
from core.orders
cross join lateral (
    select sku from core.order_lines
    where order_lines.correlation_id = orders.correlation_id and kind = 'goods' and cancelled + returned < quantity
    offset 0
) as open
where customer_ref <> '' and customer_ref = any(%(customer_ref)s::text[])
  and (customer_ref, open.sku) in (select * from unnest(%(customer_ref)s::text[], %(sku)s::text[]))

-- name: load_returns
-- Returns by identity.
select correlation_id, origin, return_id, channel, location, currency, opened_at, approved_minor, tax_minor,
       refunded_minor, state, "order", customer_ref, approval, released_minor, cleared_minor, cleared_tax_minor,
       expires_at, lines, documents, partition, changes, reason, taxes, pending_taxes
from core.returns where correlation_id = any(%(ids)s::bytea[])

-- name: load_refunds
-- The refunds of returns.
select correlation_id, refund_id, provider, amount_minor, tax_minor, state, payment_id, kind, card, instructed_at,
       reclaimed
from core.refunds where correlation_id = any(%(ids)s::bytea[]) order by correlation_id, refund_id

-- name: return_policies
-- What channels promise about returns.
select policy_id, channel, product, window_days, return_days, fee_ppm, refund_after, approval, most_returns,
       within_days, review_above_minor
from core.return_policies order by policy_id

-- name: set_return_policy
-- A policy as it is now.
insert into core.return_policies (origin, policy_id, channel, product, window_days, return_days, fee_ppm, refund_after,
                                  approval, most_returns, within_days, review_above_minor, set_at)
values (%(origin)s, %(policy_id)s, %(channel)s, %(product)s, %(window_days)s, %(return_days)s, %(fee_ppm)s,
        %(refund_after)s, %(approval)s, %(most_returns)s, %(within_days)s, %(review_above_minor)s, %(at)s)
on conflict (policy_id) do update
set origin = excluded.origin, channel = excluded.channel, product = excluded.product,
    window_days = excluded.window_days, return_days = excluded.return_days, fee_ppm = excluded.fee_ppm,
    refund_after = excluded.refund_after, approval = excluded.approval, most_returns = excluded.most_returns,
    within_days = excluded.within_days, review_above_minor = excluded.review_above_minor, set_at = excluded.set_at
where return_policies.set_at <= excluded.set_at

-- name: map_return_reason
-- What a sender's code means now.
insert into core.return_reasons (origin, code, reason, set_at) values (%(origin)s, %(code)s, %(reason)s, %(at)s)
on conflict (origin, code) do update set reason = excluded.reason, set_at = excluded.set_at
where return_reasons.set_at <= excluded.set_at

-- name: return_reasons
-- What codes of senders mean.
select origin, code, reason from core.return_reasons
where (origin, code) in (select * from unnest(%(origin)s::text[], %(code)s::text[]))

-- name: parents_of
-- What SKUs are variants of.
select sku, max(parent) from core.products where sku = any(%(skus)s::text[]) and parent <> '' group by sku

-- name: earlier_returns
-- When the customers of orders began other returns.
select customer_ref, opened_at from core.returns
where customer_ref <> '' and state <> 'refused'
  and customer_ref in (select customer_ref from core.orders where correlation_id = any(%(ids)s::bytea[]))
  and opened_at > (select max(captured_at) from core.orders where correlation_id = any(%(ids)s::bytea[]))
                  - make_interval(days => %(days)s)

-- name: returns_told
-- Returns as they stand, with their orders and refunds, oldest first.
select correlation_id, origin, return_id, channel, location, currency, opened_at, approved_minor, tax_minor,
       refunded_minor, state, "order", customer_ref, approval, released_minor, cleared_minor, cleared_tax_minor,
       expires_at, lines, documents, partition, changes, reason, taxes, pending_taxes,
       (select coalesce(jsonb_agg(distinct orders.order_id), '[]') from core.orders
        where orders.correlation_id = returns."order"),
       (select coalesce(jsonb_agg(jsonb_build_object(
                   'refund_id', refund_id, 'provider', provider, 'amount_minor', amount_minor, 'tax_minor', tax_minor,
                   'state', refunds.state, 'payment_id', payment_id, 'kind', kind) order by refund_id), '[]')
        from core.refunds where refunds.correlation_id = returns.correlation_id)
from core.returns
where (%(return_id)s::text = '' or return_id = %(return_id)s) and (%(return_id)s <> '' or approval <> '')
  and (cardinality(%(states)s::text[]) = 0 or state = any(%(states)s))
order by opened_at, correlation_id limit %(limit)s

-- name: refunds_told
-- Refunds of returns, the longest instructed first.
select returns.origin, returns.return_id, refund_id, provider, kind, payment_id, refunds.amount_minor,
       refunds.tax_minor, returns.currency, refunds.state, instructed_at
from core.refunds join core.returns using (correlation_id)
where refunds.state = %(state)s and (%(provider)s::text = '' or provider = %(provider)s)
order by instructed_at, refund_id limit %(limit)s

-- name: returns_due
-- Returns that are not here by their time.
select origin, return_id, partition, expires_at from core.returns
where expires_at <= %(now)s order by expires_at limit 500

-- name: match_parked
-- What was parked of a return has found its order.
update core.parked_items set state = 'matched' where correlation_id = %(id)s and document = 'return'

-- name: read_stock
-- Stock rows as they are now, for a unit of work that changes them in the end.
select sku, location, good, damaged, return_pending, quarantine, refurbish, reserved, committed, in_transit, opening,
       unit_cost_minor, currency, oversold, oversold_exception
from core.stock
where (sku, location) in (select * from unnest(%(sku)s::text[], %(location)s::text[]))

-- name: load_stock
-- Stock rows, locked in order of their key so that two units of work cannot wait for each other.
select sku, location, good, damaged, return_pending, quarantine, refurbish, reserved, committed, in_transit, opening,
       unit_cost_minor, currency, oversold, oversold_exception
from core.stock
where (sku, location) in (select * from unnest(%(sku)s::text[], %(location)s::text[]))
order by sku, location for update

-- name: load_baskets
-- Orders of the same baskets that are not cancelled, within a time.
select basket, correlation_id, order_id, captured_at from core.orders
where basket = any(%(baskets)s::bytea[]) and basket <> '' and state <> 'cancelled'
  and captured_at between %(since)s and %(until)s

-- name: load_channel_terms
-- What is agreed with channels.
select channel, acknowledge_seconds, confirm_shipment_seconds, reservation_seconds, duplicate_seconds, sales_orders
from core.channel_terms where channel = any(%(channels)s::text[])

-- name: save_channel_terms
-- What is agreed with a channel now; what was agreed earlier never replaces what was agreed later.
insert into core.channel_terms (channel, acknowledge_seconds, confirm_shipment_seconds, reservation_seconds,
                                duplicate_seconds, sales_orders, set_at)
values (%(channel)s, %(acknowledge_seconds)s, %(confirm_shipment_seconds)s, %(reservation_seconds)s,
        %(duplicate_seconds)s, %(sales_orders)s, %(set_at)s)
on conflict (channel) do update set acknowledge_seconds = excluded.acknowledge_seconds,
    confirm_shipment_seconds = excluded.confirm_shipment_seconds,
    reservation_seconds = excluded.reservation_seconds, duplicate_seconds = excluded.duplicate_seconds,
    sales_orders = excluded.sales_orders, set_at = excluded.set_at
where channel_terms.set_at <= excluded.set_at

-- name: save_order_deadlines
-- By when something must happen to orders.
insert into core.order_deadlines (correlation_id, deadline, reference, due_at)
select * from unnest(%(correlation_id)s::bytea[], %(deadline)s::text[], %(reference)s::text[], %(due_at)s::timestamptz[])
on conflict do nothing

-- name: drop_order_deadlines
-- It has happened, or their time has come.
delete from core.order_deadlines
using unnest(%(correlation_id)s::bytea[], %(deadline)s::text[], %(reference)s::text[])
    as met (correlation_id, deadline, reference)
where order_deadlines.correlation_id = met.correlation_id and order_deadlines.deadline = met.deadline
  and order_deadlines.reference = met.reference

-- name: order_deadlines_due
-- Times that have come and something that was to happen to an order by then has not.
select orders.origin, orders.order_id, orders.partition, deadline, reference, due_at
from core.order_deadlines join core.orders using (correlation_id)
where due_at <= %(now)s order by due_at limit 500

-- name: save_rate
-- What a currency is worth from a day on.
insert into core.rates (identity, currency, into_currency, valid_from, rate_ppm)
values (%(identity)s, %(currency)s, %(into)s, %(valid_from)s, %(rate_ppm)s)
on conflict (currency, into_currency, valid_from) do update set rate_ppm = excluded.rate_ppm

-- name: load_rates
-- What currencies were worth within days: the rate that held on the first of them, or the first there was, and later ones.
select currency, into_currency, valid_from, rate_ppm from core.rates as told
where valid_from <= greatest(%(until)s, (
    select min(valid_from) from core.rates
    where currency = told.currency and into_currency = told.into_currency))
  and valid_from >= coalesce((
    select max(valid_from) from core.rates
    where currency = told.currency and into_currency = told.into_currency and valid_from <= %(since)s), '-infinity')

-- name: hold_periods
-- No period is closed until this transaction ends.
select pg_advisory_xact_lock_shared(7412, 1)

-- name: periods_not_open
-- Periods that do not take every entry, as they are once they are held.
select legal_entity, period, state from core.periods where state <> 'open'

-- name: load_order_documents
-- The shipments, cancellations and edits of orders.
select correlation_id, kind, document_id, occurred_at from core.order_documents
where correlation_id = any(%(ids)s::bytea[])

-- name: load_payments
-- The payments of orders.
select correlation_id, payment_id, provider, amount_minor, settled, kind, card, refunded_minor,
       functional_minor
from core.payments where correlation_id = any(%(ids)s::bytea[])

-- name: save_payments
-- Payments as they are now; what goes back of them is counted by itself.
insert into core.payments (correlation_id, payment_id, provider, amount_minor, settled, kind, card, functional_minor)
select * from unnest(%(id)s::bytea[], %(payment_id)s::text[], %(provider)s::text[], %(amount_minor)s::bigint[],
                     %(settled)s::boolean[], %(kind)s::text[], %(card)s::bytea[], %(functional_minor)s::bigint[])
on conflict (correlation_id, payment_id) do update
set amount_minor = excluded.amount_minor, settled = excluded.settled, functional_minor = excluded.functional_minor

-- name: load_gift_cards
-- Gift cards, locked in order of their key: who redeems one waits for who redeems it just now.
select identity, origin, card_id, currency, balance_minor from core.gift_cards
where identity = any(%(ids)s::bytea[]) order by identity for update

-- name: save_gift_cards
-- Gift cards as they are now.
insert into core.gift_cards (identity, origin, card_id, currency, balance_minor)
select * from unnest(%(id)s::bytea[], %(origin)s::text[], %(card_id)s::text[], %(currency)s::text[],
                     %(balance_minor)s::bigint[])
on conflict (identity) do update set balance_minor = excluded.balance_minor

-- name: load_order_steps
-- When each step of orders was last taken.
select correlation_id, step, occurred_at from core.order_steps where correlation_id = any(%(ids)s::bytea[])

-- name: save_order_steps
-- When steps of orders were last taken.
insert into core.order_steps (correlation_id, step, occurred_at)
select * from unnest(%(id)s::bytea[], %(step)s::text[], %(occurred_at)s::timestamptz[])
on conflict (correlation_id, step) do update set occurred_at = excluded.occurred_at

-- name: load_open_exceptions
-- What is open on transactions.
select correlation_id, kind, exception_id from core.exceptions
where state = 'open' and correlation_id = any(%(ids)s::bytea[])

-- name: journal_owners
-- The transactions of journals.
select journal_id, correlation_id from core.journals where journal_id = any(%(ids)s::text[])

-- name: load_waited_long
-- What is open on events that waited too long for another.
select cause_source, cause_event_id, exception_id, correlation_id, split_part(exception_id, ':out_of_sequence/', 1)
from core.exceptions
join unnest(%(source)s::text[], %(event_id)s::text[]) as asked (source, event_id)
    on exception_id = source || ':out_of_sequence/' || event_id
where state = 'open'

-- name: load_posted
-- Journals as the ERP was offered them.
select journal_id, journals.occurred_at, journals.correlation_id, journals.document, journals.entity_id,
       journals.channel, journals.location, journals.currency, state
from core.journals join core.erp_documents on document_id = journal_id where journal_id = any(%(ids)s::text[])

-- name: load_journal_lines
-- The lines of a journal.
select account, amount_minor, source, functional_minor
from core.journal_lines where journal_id = %(id)s order by line_no

-- name: load_document_movements
-- What a stock document moved.
select business_key, kind, location, sku, quantity
from core.movements join core.movement_lines using (movement_id)
where location = %(location)s and occurred_at = %(occurred_at)s
  and (business_key = %(key)s or starts_with(business_key, %(key)s || '/'))
order by movement_id, sku

-- name: close_item
-- What a counterparty owed of a payment of an order is settled.
update core.open_items set open_minor = 0
where account = %(account)s and reference = %(reference)s and correlation_id = %(id)s

-- name: net_items
-- What was opened and closed under one number, or on an account as a whole, is settled.
with open as (
    select item_id, sum(open_minor) over (partition by account, currency, reference) as of_number,
           sum(open_minor) over (partition by account, currency) as of_account
    from core.open_items where account = any(%(accounts)s::text[]) and open_minor <> 0
)
update core.open_items set open_minor = 0 from open
where open_items.item_id = open.item_id and (of_number = 0 or of_account = 0)

-- name: settlement_posted
-- A settlement is in the books: its lines may be matched.
update core.settlements set state = 'posted'
where origin = %(origin)s and settlement_id = %(settlement_id)s and version = %(version)s

-- name: lock_matching
-- Nobody else matches until this transaction ends.
select pg_advisory_xact_lock(7407, 1)

-- name: booked_of_settlement
-- What was booked of matches with the version of a settlement before this one: matched, different, written off.
select coalesce(sum(amount_minor) filter (where item_id is not null), 0)::bigint,
       coalesce(sum(difference_minor) filter (where item_id is not null), 0)::bigint,
       coalesce(sum(amount_minor) filter (where item_id is null), 0)::bigint
from (
    select matches.amount_minor, difference_minor, item_id
    from core.matches join core.settlement_lines using (line_id) join core.settlements using (settlement)
    where origin = %(origin)s and settlement_id = %(settlement_id)s and version = %(version)s - 1 and undone_at is null
      and (item_id is null or match_id <= (select told_through from core.matching))
) as booked

-- name: supersede_matches
-- Open again what the version of a settlement before this one had settled; what was written off of it is not any more.
with undone as (
    update core.matches set undone_at = %(now)s
    from core.settlement_lines join core.settlements using (settlement)
    where matches.line_id = settlement_lines.line_id and undone_at is null
      and origin = %(origin)s and settlement_id = %(settlement_id)s and version < %(version)s
    returning item_id, matches.amount_minor + difference_minor as amount_minor
)
update core.open_items set open_minor = open_minor + used.amount_minor, due_at = greatest(due_at, %(now)s),
    exception_id = ''
from (select item_id, sum(amount_minor)::bigint as amount_minor from undone group by item_id) as used
where open_items.item_id = used.item_id

-- name: supersede_settlement
-- The version before this one counts no more; what the bank paid of it is counted to the same payout of this one.
with old as (
    update core.settlements set state = 'superseded'
    where origin = %(origin)s and settlement_id = %(settlement_id)s and version < %(version)s and state <> 'superseded'
    returning settlement
), lines as (
    update core.settlement_lines set open_minor = 0 from old
    where settlement_lines.settlement = old.settlement and open_minor <> 0 returning exception_id
), items as (
    select open_items.item_id, open_items.open_minor - open_items.amount_minor as rest, new.item_id as heir,
           open_items.exception_id
    from core.open_items left join core.open_items as new
        on new.account = open_items.account and new.reference = open_items.reference
        and new.origin = open_items.origin and new.item_id > open_items.item_id
        and new.correlation_id = open_items.correlation_id
    where open_items.document = 'settlement' and open_items.origin = %(origin)s and open_items.amount_minor <> 0
      and open_items.correlation_id = %(correlation_id)s
      and open_items.item_id < (select max(item_id) from core.open_items as latest
                                where latest.correlation_id = %(correlation_id)s and latest.document = 'settlement')
), gone as (
    update core.open_items set amount_minor = 0, corrected = true,
        open_minor = case when heir is null then rest else 0 end
    from items where open_items.item_id = items.item_id
), inherited as (
    update core.open_items set open_minor = open_minor + rest, corrected = true
    from items where open_items.item_id = items.heir
), moved as (
    update core.matches set item_id = heir from items where matches.item_id = items.item_id and heir is not null
)
update core.exceptions set state = 'resolved', resolved_at = %(now)s, resolution = 'a later version came'
where state = 'open' and exception_id in (select exception_id from lines union select exception_id from items)

-- name: posting_compensated
-- What a journal was about is undone; the ERP never has it.
update core.erp_documents set state = 'compensated', body = null where document_id = %(journal_id)s

-- name: create_stock
-- Make sure that stock rows exist before they are locked.
insert into core.stock (sku, location)
select * from (select * from unnest(%(sku)s::text[], %(location)s::text[]) as new (sku, location)) as new
order by sku, location
on conflict do nothing

-- name: save_stock
-- Write back counters of rows that this unit of work holds locked.
update core.stock
set good = new.good, damaged = new.damaged, return_pending = new.return_pending, quarantine = new.quarantine,
    refurbish = new.refurbish, reserved = new.reserved, committed = new.committed, in_transit = new.in_transit,
    opening = new.opening, unit_cost_minor = new.unit_cost_minor, currency = new.currency, oversold = new.oversold,
    oversold_exception = new.oversold_exception
from unnest(%(sku)s::text[], %(location)s::text[], %(good)s::bigint[], %(damaged)s::bigint[],
            %(return_pending)s::bigint[], %(quarantine)s::bigint[], %(refurbish)s::bigint[], %(reserved)s::bigint[],
            %(committed)s::bigint[], %(in_transit)s::bigint[], %(opening)s::bigint[], %(unit_cost_minor)s::bigint[],
            %(currency)s::text[], %(oversold)s::bigint[], %(oversold_exception)s::text[])
     as new (sku, location, good, damaged, return_pending, quarantine, refurbish, reserved, committed, in_transit,
             opening, unit_cost_minor, currency, oversold, oversold_exception)
where stock.sku = new.sku and stock.location = new.location

-- name: change_stock
-- Change counters of rows that nobody holds, locked in order of their key, wherever what was promised is there and at
-- the same cost.
with change as (
    select * from unnest(%(sku)s::text[], %(location)s::text[], %(good)s::bigint[], %(damaged)s::bigint[],
                         %(return_pending)s::bigint[], %(quarantine)s::bigint[], %(refurbish)s::bigint[],
                         %(reserved)s::bigint[], %(committed)s::bigint[], %(in_transit)s::bigint[],
                         %(unit_cost_minor)s::bigint[], %(currency)s::text[])
        as change (sku, location, good, damaged, return_pending, quarantine, refurbish, reserved, committed, in_transit,
                   unit_cost_minor, currency)
), held as materialized (
    select change.* from core.stock join change using (sku, location)
    order by stock.sku, stock.location for update of stock
)
update core.stock
set good = stock.good + change.good, damaged = stock.damaged + change.damaged,
    return_pending = stock.return_pending + change.return_pending, quarantine = stock.quarantine + change.quarantine,
    refurbish = stock.refurbish + change.refurbish, reserved = stock.reserved + change.reserved,
    committed = stock.committed + change.committed, in_transit = stock.in_transit + change.in_transit
from held as change
where stock.sku = change.sku and stock.location = change.location and stock.oversold = 0
  and stock.unit_cost_minor is not distinct from change.unit_cost_minor and stock.currency = change.currency
  and stock.good + change.good >= stock.reserved + change.reserved + stock.committed + change.committed

-- name: load_locations
-- What is known of locations.
select location, kind, stock_source, cost_source, near from core.locations where location = any(%(locations)s::text[])

-- name: any_location
-- Whether locations are registered at all.
select exists (select from core.locations)

-- name: locations_of_erp
-- Of these locations those of which the ERP is told what comes and goes.
select location from core.locations where goods_to_erp and location = any(%(locations)s::text[])

-- name: save_location
-- A location as it is now.
insert into core.locations (location, identity, kind, stock_source, cost_source, near, goods_to_erp)
values (%(location)s, %(identity)s, %(kind)s, %(stock_source)s, %(cost_source)s, %(near)s, %(goods_to_erp)s)
on conflict (location) do update set kind = excluded.kind, stock_source = excluded.stock_source,
    cost_source = excluded.cost_source, near = excluded.near, goods_to_erp = excluded.goods_to_erp

-- name: save_location_names
-- What systems call a location now.
with gone as (
    delete from core.location_names
    where location = %(location)s
      and (system, name) not in (select * from unnest(%(systems)s::text[], %(names)s::text[]))
)
insert into core.location_names (system, name, location)
select distinct system, name, %(location)s
from unnest(%(systems)s::text[], %(names)s::text[]) as called (system, name)
on conflict (system, name) do update set location = excluded.location

-- name: known_places
-- The locations that systems' names for them stand for.
select system, name, location from core.location_names
where (system, name) in (select * from unnest(%(systems)s::text[], %(names)s::text[]))

-- name: locations
-- Locations by one of their names.
select location, kind, stock_source, cost_source, near,
       (select coalesce(json_agg(json_build_array(system, name) order by system, name), '[]')
        from core.location_names as called where called.location = locations.location)
from core.locations
where location = %(number)s
   or location in (select location from core.location_names where name = %(number)s)
order by location

-- name: save_tax_code
-- A rate from a time on.
insert into core.tax_codes (origin, tax_code, valid_from, rate_ppm, name, identity)
values (%(origin)s, %(tax_code)s, %(at)s, %(rate_ppm)s, %(name)s, %(identity)s)
on conflict (origin, tax_code, valid_from) do update set rate_ppm = excluded.rate_ppm, name = excluded.name

-- name: tax_rates
-- The tax codes of products, and what each takes since when, oldest first.
select origin, sku, tax_code, valid_from, rate_ppm
from core.products left join core.tax_codes using (origin, tax_code)
where (origin, sku) in (select * from unnest(%(origins)s::text[], %(skus)s::text[]))
order by valid_from

-- name: save_channel
-- The locations that serve a channel.
insert into core.channels (channel, origin, locations, identity)
values (%(channel)s, %(origin)s, %(locations)s, %(identity)s)
on conflict (channel) do update set locations = excluded.locations

-- name: bound_origins
-- Origins that have registered products.
select origin from unnest(%(origins)s::text[]) as asked (origin)
where exists (select from core.products where products.origin = asked.origin)

-- name: known_numbers
-- The SKUs that numbers stand for.
select origin, number, sku from core.product_numbers
where (origin, number) in (select * from unnest(%(origin)s::text[], %(number)s::text[]))

-- name: first_locations
-- From where channels are served first.
select channel, locations[1] from core.channels where channel = any(%(channels)s::text[])

-- name: registered_channels
-- Which of these channels are registered.
select channel from core.channels where channel = any(%(channels)s::text[])

-- name: save_product
-- A product and its numbers as they are now; one registered earlier never replaces one registered later.
with product as (
    insert into core.products (origin, sku, name, unit, tax_code, parent, replaces, registered_at)
    values (%(origin)s, %(sku)s, %(name)s, %(unit)s, %(tax_code)s, %(parent)s, %(replaces)s, %(at)s)
    on conflict (origin, sku) do update set name = excluded.name, unit = excluded.unit, tax_code = excluded.tax_code,
        parent = excluded.parent, replaces = excluded.replaces, registered_at = excluded.registered_at
    where products.registered_at <= excluded.registered_at
    returning origin, sku
), gone as (
    delete from core.product_numbers using product
    where product_numbers.origin = product.origin and product_numbers.sku = product.sku
      and number <> all(%(numbers)s::text[])
)
insert into core.product_numbers (origin, number, sku, identity)
select origin, number, sku, identity
from product cross join unnest(%(numbers)s::text[], %(identities)s::bytea[]) as new (number, identity)
on conflict (origin, number) do update set sku = excluded.sku
where product_numbers.number <> product_numbers.sku or product_numbers.sku = excluded.sku

-- name: products
-- Products by one of their numbers.
select origin, products.sku, name, unit, tax_code, parent, replaces, registered_at,
       (with recursive above (sku, parent, depth) as (
            select '', products.parent, 0
            union all
            select over.sku, over.parent, depth + 1
            from above join core.products as over on over.origin = products.origin and over.sku = above.parent
            where depth < 10)
        select coalesce(array_agg(sku order by depth), '{}') from above where depth > 0),
       array(select variant.sku from core.products as variant
             where variant.origin = products.origin and variant.parent = products.sku order by 1 limit 1000),
       array(select number from core.product_numbers as other
             where other.origin = products.origin and other.sku = products.sku and number <> products.sku
             order by number)
from core.products join core.product_numbers using (origin, sku)
where number = %(number)s order by origin

-- name: load_customers
-- Customers by their numbers and by those of their accounts, each with all accounts.
select origin, customer_id, segment, closed, merged_into, updated_at,
       (select coalesce(json_agg(json_build_array(system, account_id) order by system, account_id), '[]')
        from core.customer_accounts as held
        where held.origin = customers.origin and held.customer_id = customers.customer_id)
from core.customers
where (origin, customer_id) in (select * from unnest(%(origins)s::text[], %(customer_ids)s::text[]))
   or (origin, customer_id) in (
       select origin, customer_id from core.customer_accounts
       where (account_id, system) in (select * from unnest(%(account_ids)s::text[], %(systems)s::text[])))

-- name: save_customer
-- A customer as known now.
insert into core.customers (origin, customer_id, segment, closed, merged_into, updated_at, identity)
values (%(origin)s, %(customer_id)s, %(segment)s, %(closed)s, %(merged_into)s, %(at)s, %(identity)s)
on conflict (origin, customer_id) do update set segment = excluded.segment, closed = excluded.closed,
    merged_into = excluded.merged_into, updated_at = excluded.updated_at

-- name: drop_accounts
-- Accounts that are no longer their customer's.
delete from core.customer_accounts
where (account_id, system) in (select * from unnest(%(account_ids)s::text[], %(systems)s::text[]))

-- name: add_accounts
-- Accounts that are a customer's from now on; of two customers who claim one at the same time the second fails.
insert into core.customer_accounts (account_id, system, origin, customer_id)
select account_id, system, %(origin)s, %(customer_id)s
from unnest(%(account_ids)s::text[], %(systems)s::text[]) as new (account_id, system)

-- name: customers
-- Customers by their number, or that of an account or of somebody they turned out to be; with their latest orders.
with recursive found (origin, customer_id) as (
    select origin, customer_id from core.customers where customer_id = %(number)s
    union
    select origin, customer_id from core.customer_accounts where account_id = %(number)s
    union
    select customers.origin, merged_into from found join core.customers using (origin, customer_id)
    where merged_into <> ''
)
select origin, customer_id, segment, closed, updated_at,
       array(select other.customer_id from core.customers as other
             where other.origin = customers.origin and other.merged_into = customers.customer_id order by 1),
       (select coalesce(json_agg(json_build_array(system, account_id) order by system, account_id), '[]')
        from core.customer_accounts as held
        where held.origin = customers.origin and held.customer_id = customers.customer_id),
       (select coalesce(json_agg(one), '[]') from (
            select json_build_array(
                orders.origin, order_id, state, currency, amount_minor,
                case when provider = '' then amount_minor + tax_minor - paid_minor
                     else (select coalesce(sum(value::bigint), 0)::bigint from jsonb_each_text(edited)) end, captured_at)
            from core.orders join core.customer_accounts as held on orders.origin = system and customer_ref = account_id
            where held.origin = customers.origin and held.customer_id = customers.customer_id
            order by captured_at desc, order_id limit 100) as latest (one))
from core.customers join found using (origin, customer_id)
where merged_into = '' order by origin, customer_id

-- name: lock_channels
-- Wait for those who move stock: who is served how changes now.
select pg_advisory_xact_lock(7406, 1)

-- name: lock_channels_shared
-- Who is served how stays as it is until this transaction ends.
select pg_advisory_xact_lock_shared(7406, 1)

-- name: save_endpoint
-- Where a channel is told what it may sell; the sequence of what it was told goes on.
insert into core.endpoints (channel, url, by_location, batch, requests_per_second, priority, not_before)
values (%(channel)s, %(url)s, %(by_location)s, %(batch)s, %(requests_per_second)s, %(priority)s, %(now)s)
on conflict (channel) do update set url = excluded.url, by_location = excluded.by_location, batch = excluded.batch,
    requests_per_second = excluded.requests_per_second, priority = excluded.priority, not_before = excluded.not_before,
    failures = 0, refusals = 0, reason = ''

-- name: forget_publications
-- Nothing that a channel was told counts any more.
update core.publications set sellable = null, waiting_since = null, moved_at = null where channel = %(channel)s

-- name: any_endpoint
-- Whether a channel has an address.
select exists (select from core.endpoints where url <> '')

-- name: publish_channel
-- Have a channel told every figure.
insert into core.publications as held (channel, sku, location, waiting_since, as_of)
select channel, sku, place, %(now)s, %(now)s
from (
    select channel, stock.sku, place
    from core.endpoints join core.channels using (channel) join core.stock on stock.location = any(channels.locations)
    cross join lateral (select '' union all select stock.location where by_location) as at (place)
    where channel = %(channel)s and url <> ''
    union
    select channel, sku, location from core.publications join core.endpoints using (channel)
    where channel = %(channel)s and url <> '' and (by_location or location = '')
) as told
order by channel, sku, place
on conflict (channel, sku, location) do update
set version = held.version + 1, waiting_since = coalesce(held.waiting_since, excluded.waiting_since), set_aside = false

-- name: publish_under_rule
-- Have channels told the figures that a rule is about.
insert into core.publications as held (channel, sku, location, waiting_since, as_of)
select distinct channels.channel, stock.sku, place, %(now)s::timestamptz, %(now)s::timestamptz
from core.stock_rules as rule
join core.stock on rule.sku in ('', stock.sku) and rule.location in ('', stock.location)
join core.channels on stock.location = any(channels.locations)
join core.endpoints on endpoints.channel = channels.channel
cross join lateral (select '' union all select stock.location where by_location) as at (place)
where rule.rule_id = %(rule_id)s and rule.kind <> 'reorder' and url <> '' and (rule.kind <> 'cap' or rule.channel = channels.channel)
order by channels.channel, stock.sku, place
on conflict (channel, sku, location) do update
set version = held.version + 1, waiting_since = coalesce(held.waiting_since, excluded.waiting_since), set_aside = false

-- name: publish_locations
-- Have channels told the figures of locations, where a buffer may hold something back.
insert into core.publications as held (channel, sku, location, waiting_since, as_of)
select distinct channel, stock.sku, place, %(now)s::timestamptz, %(now)s::timestamptz
from core.stock join core.channels on stock.location = any(channels.locations) join core.endpoints using (channel)
cross join lateral (select '' union all select stock.location where by_location) as at (place)
where stock.location = any(%(locations)s::text[]) and url <> ''
  and exists (select from core.stock_rules where kind = 'buffer' and quantity + percent > 0)
order by channel, stock.sku, place
on conflict (channel, sku, location) do update
set version = held.version + 1, waiting_since = coalesce(held.waiting_since, excluded.waiting_since), set_aside = false

-- name: publish_moves
-- Have channels told the figures of what moved.
insert into core.publications as held (channel, sku, location, waiting_since, moved_at, as_of)
select channel, new.sku, place, %(now)s::timestamptz, min(moved_at), max(moved_at)
from unnest(%(sku)s::text[], %(location)s::text[], %(moved_at)s::timestamptz[]) as new (sku, location, moved_at)
join core.channels on new.location = any(channels.locations) join core.endpoints using (channel)
cross join lateral (select '' union all select new.location where by_location) as at (place)
where url <> ''
group by channel, new.sku, place
order by channel, new.sku, place
on conflict (channel, sku, location) do update
set version = held.version + 1, waiting_since = coalesce(held.waiting_since, excluded.waiting_since), set_aside = false,
    moved_at = least(held.moved_at, excluded.moved_at), as_of = greatest(held.as_of, excluded.as_of)

-- name: wake_outbox
-- Tell those who hand over one kind of what waits that there is some.
select pg_notify('core_outbox', %(kind)s)

-- name: note_silence
-- Locations with a feed that has fallen silent, or is heard again.
update core.subscriptions set silent = heard_at < %(since)s where silent <> (heard_at < %(since)s) returning location

-- name: note_sources
-- How far feeds say they are, to channels that have an address.
update core.subscriptions
set source_at = greatest(subscriptions.source_at, new.source_at), clock_offset = new.clock_offset
from unnest(%(feed)s::text[], %(channel)s::text[], %(location)s::text[], %(source_at)s::timestamptz[],
            %(clock_offset)s::interval[]) as new (feed, channel, location, source_at, clock_offset)
where subscriptions.feed = new.feed and subscriptions.channel = new.channel and subscriptions.location = new.location

-- name: advance_publications
-- How far channels have now been told what their feeds said: up to the oldest change that they do not have.
update core.subscriptions set published_at = new.published_at
from (
    select feed, channel, location, least(source_at, (
        select min(moved_at) - interval '1 microsecond' from core.publications
        where publications.channel = subscriptions.channel and publications.location in ('', subscriptions.location)
          and moved_at is not null
    )) as published_at
    from core.subscriptions join core.endpoints using (channel)
    where url <> '' and source_at is not null and published_at is distinct from source_at
) as new
where subscriptions.feed = new.feed and subscriptions.channel = new.channel and subscriptions.location = new.location
  and (subscriptions.published_at is null or subscriptions.published_at < new.published_at)
returning subscriptions.feed, subscriptions.channel, subscriptions.location, new.published_at,
          subscriptions.clock_offset

-- name: endpoints_due
-- Channels that may be told something now, first the one that is served first.
select channel from core.endpoints
where url <> '' and not_before <= %(now)s and exists (
    select from core.publications
    where publications.channel = endpoints.channel and waiting_since is not null and not set_aside
)
order by priority, channel

-- name: begin_publication
-- Take the next number of a channel's sequence; until then nobody else tells it anything.
update core.endpoints set sequence = sequence + 1, not_before = %(until)s
where channel = %(channel)s and url <> '' and not_before <= %(now)s
returning channel, url, batch, requests_per_second, sequence, failures, refusals, down_exception

-- name: publications_waiting
-- The figures that a channel does not have, longest waiting first.
select sku, location, version, as_of, sellable, refusal from core.publications
where channel = %(channel)s and waiting_since is not null and not set_aside
order by waiting_since, sku, location limit %(limit)s

-- name: publications_told
-- What a channel has now; a figure that changed meanwhile waits again.
update core.publications
set sellable = new.sellable, sequence = %(sequence)s, refusal = '',
    waiting_since = case when publications.version = new.version then null else %(now)s end,
    moved_at = case when publications.version <> new.version then moved_at end
from unnest(%(sku)s::text[], %(location)s::text[], %(version)s::bigint[], %(sellable)s::bigint[])
     as new (sku, location, version, sellable)
where publications.channel = %(channel)s and publications.sku = new.sku and publications.location = new.location
  and publications.sequence < %(sequence)s

-- name: set_publication_aside
-- A channel refuses a figure: it is not offered again until it changes.
update core.publications set set_aside = version = %(version)s, moved_at = null, refusal = %(refusal)s
where channel = %(channel)s and sku = %(sku)s and location = %(location)s

-- name: publications_set_aside
-- How many figures a channel has refused.
select count(*) from core.publications where channel = %(channel)s and set_aside

-- name: publish_again
-- Offer the channel that an exception is about now what it did not take.
with channel as (
    update core.endpoints set not_before = %(now)s
    where channel = (select entity_id from core.exceptions where exception_id = %(id)s) returning channel
), offered as (
    update core.publications set set_aside = false where set_aside and refusal = %(id)s
)
select channel from channel

-- name: channel_status
-- Every channel with an address, as it stands.
select channel, url, case when down_exception = '' then 'up' else 'down' end,
       count(waiting_since) filter (where not set_aside),
       coalesce(extract(epoch from %(now)s - min(waiting_since) filter (where not set_aside)), 0)::double precision,
       count(*) filter (where set_aside), endpoints.sequence, priority, acknowledged_at, not_before, reason
from core.endpoints left join core.publications using (channel)
where url <> '' group by endpoints.channel order by priority, channel

-- name: endpoint_answered
-- How a channel answered, and when it may be told more.
update core.endpoints
set failures = %(failures)s, refusals = %(refusals)s, not_before = %(not_before)s, reason = %(reason)s,
    down_exception = %(down_exception)s, acknowledged_at = coalesce(%(acknowledged_at)s, acknowledged_at)
where channel = %(channel)s

-- name: oldest_publication
-- Since when a channel waits for the figure that it has waited for longest.
select min(waiting_since) from core.publications
where channel = %(channel)s and waiting_since is not null and not set_aside

-- name: unit_costs
-- The highest cost of a unit of SKUs.
select distinct on (sku) sku, unit_cost_minor, currency from core.stock
where sku = any(%(skus)s::text[]) and unit_cost_minor is not null order by sku, unit_cost_minor desc

-- name: save_stock_rule
-- A rule of availability as it is now; one set earlier never replaces one set later.
insert into core.stock_rules (rule_id, kind, sku, location, channel, quantity, percent, priority, target, set_at)
values (%(rule_id)s, %(kind)s, %(sku)s, %(location)s, %(channel)s, %(quantity)s, %(percent)s, %(priority)s,
        %(target)s, %(set_at)s)
on conflict (rule_id) do update set kind = excluded.kind, sku = excluded.sku, location = excluded.location,
    channel = excluded.channel, quantity = excluded.quantity, percent = excluded.percent,
    priority = excluded.priority, target = excluded.target, set_at = excluded.set_at
where stock_rules.set_at <= excluded.set_at

-- name: any_reorder
-- Whether anything has a reorder point.
select exists (select from core.stock_rules where kind = 'reorder' and quantity > 0)

-- name: stock_rules_of
-- Reorder points of stock, and the rules that say what of it is for sale.
select kind, sku, location, channel, quantity, percent, priority, target from core.stock_rules
where kind in ('reorder', 'safety') and sku = any(array[''] || %(sku)s::text[])
  and location = any(array[''] || %(location)s::text[])
order by set_at

-- name: load_signals
-- What has been asked for of stock.
select sku, location, units, below, raised_at, exception_id from core.signals
where (sku, location) in (select * from unnest(%(sku)s::text[], %(location)s::text[]))

-- name: save_signals
-- What has been asked for of stock now.
insert into core.signals (sku, location, units, below, raised_at, exception_id)
select * from unnest(%(sku)s::text[], %(location)s::text[], %(units)s::bigint[], %(below)s::boolean[],
                     %(raised_at)s::timestamptz[], %(exception_id)s::text[])
on conflict (sku, location) do update set units = excluded.units, below = excluded.below,
    raised_at = excluded.raised_at, exception_id = excluded.exception_id

-- name: open_signals
-- What is asked for and neither there nor on its way, longest waiting first.
select sku, location, units, raised_at, exception_id from core.signals
where units > 0 and (%(location)s = '' or location = %(location)s) order by raised_at, sku, location limit %(limit)s

-- name: load_transfers
-- Transfers by identity.
select correlation_id, origin, transfer_id, from_location, to_location, currency, state, requested_at, variance_due_at,
       lines
from core.transfers where correlation_id = any(%(ids)s::bytea[])

-- name: save_transfers
-- Transfers as they are now.
insert into core.transfers (correlation_id, origin, transfer_id, from_location, to_location, currency, state,
                            requested_at, variance_due_at, lines)
select * from unnest(%(id)s::bytea[], %(origin)s::text[], %(transfer_id)s::text[], %(from_location)s::text[],
                     %(to_location)s::text[], %(currency)s::text[], %(state)s::text[], %(requested_at)s::timestamptz[],
                     %(variance_due_at)s::timestamptz[], %(lines)s::jsonb[])
on conflict (correlation_id) do update set state = excluded.state, variance_due_at = excluded.variance_due_at,
    lines = excluded.lines

-- name: variances_due
-- Transfers whose missing goods nobody has found by their deadline.
select origin, transfer_id, variance_due_at from core.transfers
where variance_due_at <= %(now)s order by variance_due_at limit 100

-- name: waiting_long
-- Events parked since before a time of which no exception tells; one that somebody resolved is not told again.
select source, event_id, type, occurred_at, business_date, provenance, clock_offset, body, waiting_for, reason, attempts
from core.inbox
where state = 'parked' and accepted_at < %(since)s and not exists (
    select from core.exceptions
    where exception_id = source || ':out_of_sequence/' || event_id
      and (exceptions.state = 'open' or not starts_with(resolution, 'replayed'))
)
order by seq limit 100

-- name: moved_since
-- By how much movements that happened after a time changed what is good, by SKU.
select sku, sum(quantity * factor)::bigint
from core.movements
join unnest(%(kind)s::text[], %(factor)s::integer[]) as effect (kind, factor) using (kind)
join core.movement_lines using (movement_id)
where location = %(location)s and occurred_at > %(since)s and sku = any(%(sku)s::text[])
group by sku

-- name: save_orders
-- Write back what changes on an order.
update core.orders
set state = new.state, open_tax_minor = new.open_tax_minor, amount_minor = new.amount_minor,
    tax_minor = new.tax_minor, paid_minor = new.paid_minor, provider = new.provider, contract = new.contract,
    edited = new.edited, undelivered = new.undelivered, taxes = new.taxes
from unnest(%(id)s::bytea[], %(state)s::text[], %(open_tax_minor)s::bigint[], %(amount_minor)s::bigint[],
            %(tax_minor)s::bigint[], %(paid_minor)s::bigint[], %(provider)s::text[], %(contract)s::jsonb[],
            %(edited)s::jsonb[], %(undelivered)s::jsonb[], %(taxes)s::jsonb[])
     as new (id, state, open_tax_minor, amount_minor, tax_minor, paid_minor, provider, contract, edited, undelivered,
             taxes)
where orders.correlation_id = new.id

-- name: save_lines
-- Write back what changes on an order line.
update core.order_lines
set quantity = new.quantity, amount_minor = new.amount_minor, unit_price_micros = new.unit_price_micros,
    reserved = new.reserved, cancelled = new.cancelled, shipped = new.shipped, edited_at = new.edited_at,
    tax_minor = new.tax_minor
from unnest(%(id)s::bytea[], %(line_no)s::integer[], %(quantity)s::bigint[], %(amount_minor)s::bigint[],
            %(unit_price_micros)s::bigint[], %(reserved)s::bigint[], %(cancelled)s::bigint[], %(shipped)s::bigint[],
            %(edited_at)s::timestamptz[], %(tax_minor)s::bigint[])
     as new (id, line_no, quantity, amount_minor, unit_price_micros, reserved, cancelled, shipped, edited_at, tax_minor)
where order_lines.correlation_id = new.id and order_lines.line_no = new.line_no

-- name: save_returned
-- Count units of order lines that come back; two returns cannot both have the last.
update core.order_lines set returned = returned + new.units
from unnest(%(id)s::bytea[], %(line_no)s::integer[], %(units)s::bigint[]) as new (id, line_no, units)
where order_lines.correlation_id = new.id and order_lines.line_no = new.line_no

-- name: give_back
-- Count what of payments goes back; two refunds cannot both have the last.
update core.payments set refunded_minor = refunded_minor + new.amount_minor
from unnest(%(id)s::bytea[], %(payment_id)s::text[], %(amount_minor)s::bigint[]) as new (id, payment_id, amount_minor)
where payments.correlation_id = new.id and payments.payment_id = new.payment_id

-- name: save_returns
-- Write back what changes on a return.
update core.returns
set approved_minor = new.approved_minor, tax_minor = new.tax_minor, refunded_minor = new.refunded_minor,
    state = new.state, "order" = new."order", customer_ref = new.customer_ref, released_minor = new.released_minor,
    cleared_minor = new.cleared_minor, cleared_tax_minor = new.cleared_tax_minor, expires_at = new.expires_at,
    lines = new.lines, documents = new.documents, changes = new.changes, reason = new.reason, taxes = new.taxes,
    pending_taxes = new.pending_taxes
from unnest(%(id)s::bytea[], %(approved_minor)s::bigint[], %(tax_minor)s::bigint[], %(refunded_minor)s::bigint[],
            %(state)s::text[], %(order)s::bytea[], %(customer_ref)s::text[], %(released_minor)s::bigint[],
            %(cleared_minor)s::bigint[], %(cleared_tax_minor)s::bigint[], %(expires_at)s::timestamptz[],
            %(lines)s::jsonb[], %(documents)s::jsonb[], %(changes)s::integer[], %(reason)s::text[],
            %(taxes)s::jsonb[], %(pending_taxes)s::jsonb[])
     as new (id, approved_minor, tax_minor, refunded_minor, state, "order", customer_ref, released_minor,
             cleared_minor, cleared_tax_minor, expires_at, lines, documents, changes, reason, taxes, pending_taxes)
where returns.correlation_id = new.id

-- name: save_refunds
-- Refunds as they are now.
insert into core.refunds (correlation_id, refund_id, provider, amount_minor, tax_minor, state, payment_id, kind, card,
                          instructed_at, reclaimed)
select * from unnest(%(id)s::bytea[], %(refund_id)s::text[], %(provider)s::text[], %(amount_minor)s::bigint[],
                     %(tax_minor)s::bigint[], %(state)s::text[], %(payment_id)s::text[], %(kind)s::text[],
                     %(card)s::bytea[], %(instructed_at)s::timestamptz[], %(reclaimed)s::boolean[])
on conflict (correlation_id, refund_id) do update
set provider = excluded.provider, amount_minor = excluded.amount_minor, tax_minor = excluded.tax_minor,
    state = excluded.state, payment_id = excluded.payment_id, kind = excluded.kind, card = excluded.card,
    instructed_at = excluded.instructed_at, reclaimed = excluded.reclaimed

-- name: new_movement_ids
-- Numbers for new movements.
select nextval(pg_get_serial_sequence('core.movements', 'movement_id')) from generate_series(1, %(count)s)

-- name: add_exceptions
-- Open exceptions; one that is known stays as it is, unless it was closed because its cause was to be tried again.
insert into core.exceptions (exception_id, kind, severity, correlation_id, entity, entity_id, owner, amount_minor,
                             currency, detail, opened_at, cause_source, cause_event_id)
select * from unnest(%(exception_id)s::text[], %(kind)s::text[], %(severity)s::text[], %(correlation_id)s::bytea[],
                     %(entity)s::text[], %(entity_id)s::text[], %(owner)s::text[], %(amount_minor)s::bigint[],
                     %(currency)s::text[], %(detail)s::text[], %(opened_at)s::timestamptz[], %(cause_source)s::text[],
                     %(cause_event_id)s::text[])
on conflict (exception_id) do update
set state = 'open', detail = excluded.detail, amount_minor = excluded.amount_minor, resolved_at = null, resolution = ''
where exceptions.state = 'resolved' and starts_with(exceptions.resolution, 'replayed')

-- name: lock_exceptions
-- Exceptions that somebody does something about.
select exception_id, kind, correlation_id, owner, amount_minor, currency, cause_source, cause_event_id, state
from core.exceptions where exception_id = any(%(ids)s::text[]) order by exception_id for update

-- name: open_exceptions_where
-- Open exceptions that have something in common, oldest first, and how many there are.
select exception_id, count(*) over ()
from core.exceptions
where state = 'open' and (%(owner)s = '' or owner = %(owner)s) and (%(kind)s = '' or kind = %(kind)s)
  and (%(severity)s = '' or severity = %(severity)s)
  and (%(opened_before)s::timestamptz is null or opened_at < %(opened_before)s)
order by opened_at, exception_id limit %(limit)s

-- name: record_action
-- Keep who did what about an exception, and why.
insert into core.exception_actions (exception_id, at, by_whom, action, reason, to_whom)
values (%(id)s, %(at)s, %(by)s, %(action)s, %(reason)s, %(to)s) returning number

-- name: exception_history
-- What was done about an exception.
select at, by_whom, action, reason, to_whom from core.exception_actions where exception_id = %(id)s order by number

-- name: assign_exception
-- Somebody takes it on.
update core.exceptions set assignee = %(to)s where exception_id = %(id)s

-- name: count_replay
-- Its cause is tried again.
update core.exceptions set replays = replays + 1 where exception_id = %(id)s

-- name: process_again
-- Queue an event that was not applied.
update core.inbox set state = 'queued', not_before = null, waiting_for = null
where source = %(source)s and event_id = %(event_id)s and state in ('dead', 'rejected', 'parked')

-- name: take_again
-- Queue the payments or shipments that an order did not take, unless somebody has decided about them: it has changed.
update core.inbox set state = 'queued'
from core.exceptions
where exceptions.correlation_id = %(id)s and exceptions.state = 'open' and kind = any(%(kinds)s::text[])
  and inbox.source = cause_source and inbox.event_id = cause_event_id and inbox.state = 'rejected'

-- name: post_again
-- Offer a document to the ERP that did not take it.
update core.erp_documents set state = 'waiting', not_before = %(now)s, queued_at = %(now)s, reason = ''
where document_id = %(document_id)s and state in ('rejected', 'dead')

-- name: compare_again
-- Read a document back from the ERP once more.
update core.erp_documents set compared_at = null where document_id = %(document_id)s and state = 'accepted'

-- name: withdraw_document
-- Keep from the ERP what it has not been offered yet, and with it how it was changed and that it is cancelled.
with gone as (
    update core.erp_documents set state = 'withdrawn', body = null, reason = %(reason)s
    where document_id = %(document_id)s and state = 'waiting' and attempts = 0 returning 1
)
update core.erp_documents set state = 'withdrawn', body = null, reason = %(reason)s
where state = 'waiting' and exists (select from gone)
  and (document_id = %(cancellation_id)s or starts_with(document_id, %(amendments)s))

-- name: documents_to_compare
-- Journals that an ERP has accepted and that were not read back, with their lines by account; none while others wait.
select document_id, erp_document, business_date, currency, correlation_id, origin, document, entity_id, channel,
       event_source, event_id, provenance, clock_offset, sums.accounts, sums.amounts
from core.erp_documents cross join lateral (
    select array_agg(account) as accounts, array_agg(amount_minor) as amounts
    from core.journal_lines
    where journal_id = any(document_id || array(select journal_id from core.summary_journals where summary_id = document_id))
      and amount_minor <> 0
) as sums
where state = 'accepted' and compared_at is null and kind = 'journal' and erp = %(erp)s and queued_at <= %(until)s
  and not exists (select from core.erp_documents as other
                  where other.state = 'waiting' and other.erp = %(erp)s and other.not_before <= %(now)s)
order by queued_at limit %(limit)s

-- name: documents_compared
-- What was read back, and of it what is open because it differed before.
with compared as (
    update core.erp_documents set compared_at = %(now)s, difference = new.difference, differs_minor = new.differs_minor
    from unnest(%(ids)s::text[], %(difference)s::text[], %(differs_minor)s::bigint[])
         as new (id, difference, differs_minor)
    where document_id = new.id returning document_id
)
select document_id, exception_id
from compared join core.exceptions on exception_id in (select document_id || ':' || kind from unnest(%(kinds)s::text[]) as of (kind))
where state = 'open'

-- name: refused_posting
-- The document of a journal that the ERP did not take.
select document from core.erp_documents
where document_id = %(journal_id)s and kind = 'journal' and state in ('rejected', 'dead')

-- name: revalue_exceptions
-- What open exceptions are worth now.
update core.exceptions set amount_minor = new.amount_minor, detail = new.detail
from unnest(%(exception_id)s::text[], %(amount_minor)s::bigint[], %(detail)s::text[]) as new (id, amount_minor, detail)
where exceptions.exception_id = new.id

-- name: resolve_exceptions
-- Close exceptions.
update core.exceptions set state = 'resolved', resolved_at = new.at, resolution = new.resolution
from unnest(%(exception_id)s::text[], %(resolution)s::text[], %(at)s::timestamptz[]) as new (id, resolution, at)
where exceptions.exception_id = new.id

-- name: subscribe
-- A channel at a location follows a feed, which has just been heard.
insert into core.subscriptions (feed, channel, location, heard_at)
select feed, channel, location, %(now)s
from unnest(%(feed)s::text[], %(channel)s::text[], %(location)s::text[]) as new (feed, channel, location)
on conflict (feed, channel, location) do update set heard_at = excluded.heard_at

-- name: newest_movement
-- The number of the newest movement that can be seen.
select coalesce(max(movement_id), 0) from core.movements

-- name: movements_between
-- Movements by their numbers; bounded at both ends, or a plan for any numbers reads the whole table.
select movement_id from core.movements where movement_id > %(since)s and movement_id <= %(until)s

-- name: skus_moved
-- SKUs of movements.
select distinct sku from core.movement_lines where movement_id = any(%(movements)s::bigint[])

-- name: stock_of
-- Stock of SKUs at every location.
select sku, location, good, damaged, return_pending, quarantine, refurbish, reserved, committed, in_transit
from core.stock where sku = any(%(skus)s::text[])

-- name: stock_rules
-- Every rule of availability; reorder points are none.
select kind, sku, location, channel, quantity, percent, priority, target from core.stock_rules where kind <> 'reorder'

-- name: channels
-- The locations that serve each channel.
select channel, locations from core.channels

-- name: near_locations
-- The locations beside each location.
select location, near from core.locations where near <> '{}'

-- name: silent_locations
-- Locations with a feed that has not been heard since a time.
select distinct location from core.subscriptions where heard_at < %(since)s

-- name: load_subscriptions
-- Who follows which feed.
select feed, channel, location, exists (
    select from core.endpoints where endpoints.channel = subscriptions.channel and url <> ''
)
from core.subscriptions order by feed, channel, location

-- name: settle
-- Record what became of events.
update core.inbox
set state = new.state, reason = new.reason, waiting_for = new.waiting_for, attempts = inbox.attempts + 1,
    not_before = null
from unnest(%(seq)s::bigint[], %(state)s::text[], %(reason)s::text[], %(waiting_for)s::bytea[])
     as new (seq, state, reason, waiting_for)
where inbox.seq = new.seq

-- name: settle_done
-- Record that events were processed with nothing to say.
update core.inbox set state = 'done', attempts = attempts + 1, not_before = null where seq = any(%(seq)s::bigint[])

-- name: lock_transactions
-- Hold transactions until this unit of work ends, in one order for everybody.
select pg_advisory_xact_lock(7403, ('x' || encode(substr(id, 1, 4), 'hex'))::bit(32)::integer)
from (select id from unnest(%(ids)s::bytea[]) as asked (id) order by id) as asked

-- name: transaction_states
-- How far orders and returns are now.
select correlation_id, state, paid_minor,
       case when provider = '' then amount_minor + tax_minor
            else (select coalesce(sum(value::bigint), 0)::bigint from jsonb_each_text(edited)) end
from core.orders where correlation_id = any(%(ids)s::bytea[])
union all
select correlation_id, state, changes, 0 from core.returns where correlation_id = any(%(ids)s::bytea[])
union all
select identity, 'registered', 0, 0 from core.locations where identity = any(%(ids)s::bytea[])
union all
select identity, 'known', 0, 0 from core.product_numbers where identity = any(%(ids)s::bytea[])
union all
select identity, 'known', 0, 0 from core.channels where identity = any(%(ids)s::bytea[])
union all
select identity, 'known', 0, 0 from core.customers where identity = any(%(ids)s::bytea[])
union all
select distinct identity, 'known', 0, 0 from core.tax_codes where identity = any(%(ids)s::bytea[])
union all
select identity, 'issued', 0, 0 from core.gift_cards where identity = any(%(ids)s::bytea[])
union all
select distinct identity, 'set', 0, 0 from core.rates where identity = any(%(ids)s::bytea[])

-- name: release_waiting
-- Queue what was parked until transactions arrived.
update core.inbox set state = 'queued', waiting_for = null
where state = 'parked' and waiting_for = any(%(ids)s::bytea[])

-- name: postpone
-- Try an event again later.
update core.inbox set attempts = attempts + 1, not_before = %(not_before)s, reason = %(reason)s where seq = %(seq)s

-- name: dead_letter
-- Give up on an event.
update core.inbox set state = 'dead', attempts = attempts + 1, reason = %(reason)s where seq = %(seq)s

-- name: add_span_batch
-- Keep the IDs of spans for ever.
insert into core.span_batches (span_ids, created_at) values (%(span_ids)s, %(now)s) returning batch

-- name: add_span_outbox
-- Keep encoded spans, compressed, until the collector has them, and tell relays: what else they ship comes with spans.
with kept as (
    insert into core.span_outbox (batch, body, size_bytes, created_at)
    values (%(batch)s, %(body)s, %(size_bytes)s, %(now)s)
)
select pg_notify('core_outbox', 'spans')

-- name: next_span_batches
-- The oldest encoded spans that the collector has not acknowledged.
select batch, body, size_bytes from core.span_outbox order by batch limit %(limit)s

-- name: spans_acknowledged
-- The collector has these spans on disk.
delete from core.span_outbox where batch = any(%(batches)s::bigint[])

-- name: documents_due
-- Documents of a slot that an ERP should be offered now: lane by lane, but a share for each, so that none starves.
with due as (
    select next.*
    from generate_series(0, %(lanes)s - 1) as lanes (lane) cross join lateral (
        select erp_documents.lane, document_id, row_number() over (order by queued_at, document_id) as place
        from core.erp_documents
        where state = 'waiting' and erp = %(erp)s and erp_documents.lane = lanes.lane and not_before <= %(now)s
          and get_byte(correlation_id, 0) %% %(slots)s = %(slot)s
        order by queued_at, document_id limit %(limit)s
    ) as next
    order by place > %(share)s, lane, place limit %(limit)s
)
select document_id, kind, body, attempts, correlation_id, origin, document, entity_id, channel, location, currency,
       worth_minor, event_source, event_id, business_date, provenance, clock_offset, due_at
from due join core.erp_documents using (document_id)
order by due.lane, due.place

-- name: lock_slot
-- Only one relay posts what is of a slot: what is about one transaction is offered in its order.
select pg_try_advisory_xact_lock_shared(7402, -1) and pg_try_advisory_xact_lock(7405, hashtext(%(erp)s || '/' || %(slot)s::text))

-- name: lock_every_slot
-- No relay posts anything until this transaction ends.
select pg_try_advisory_xact_lock(7402, -1)

-- name: lanes
-- What waits for the ERP, by lane, since when, and how much of it was tried before.
select lane, count(*), extract(epoch from %(now)s - min(queued_at))::float8, count(*) filter (where attempts > 0)
from core.erp_documents where state = 'waiting' group by lane order by lane

-- name: withdraw_postings
-- Take back journals that the ERP was never offered together with the entries that reverse and refund them to nothing.
with pairs as (
    select * from unnest(%(journal_id)s::text[], %(reversal_id)s::text[], %(refund_id)s::text[])
        as pair (journal_id, reversal_id, refund_id)
), even as (
    select pairs.* from pairs join core.erp_documents on document_id = journal_id
    where state = 'waiting' and attempts = 0 and not exists (
        select from core.journal_lines where journal_lines.journal_id in (pairs.journal_id, pairs.reversal_id, refund_id)
        group by account having sum(amount_minor) <> 0
    )
)
update core.erp_documents set state = 'withdrawn', body = null, reason = 'reversed by ' || reversal_id
from even where document_id in (even.journal_id, even.reversal_id, refund_id)
returning reversal_id, document_id

-- name: documents_answered
-- What the ERP said of documents.
update core.erp_documents
set state = new.state, attempts = erp_documents.attempts + 1,
    not_before = coalesce(new.not_before, erp_documents.not_before), accepted_at = new.accepted_at,
    erp_document = new.erp_document, reason = new.reason,
    body = case when new.state <> 'accepted' then erp_documents.body end
from unnest(%(document_id)s::text[], %(state)s::text[], %(not_before)s::timestamptz[], %(accepted_at)s::timestamptz[],
            %(erp_document)s::text[], %(reason)s::text[])
     as new (document_id, state, not_before, accepted_at, erp_document, reason)
where erp_documents.document_id = new.document_id

-- name: lag
-- How much waits, and since when.
select (select count(*) from core.inbox where state = 'queued'),
       (select count(*) from core.inbox where state = 'parked'),
       (select count(*) from core.inbox where state = 'dead'),
       (select count(*) from core.erp_documents where state = 'waiting'),
       (select extract(epoch from %(now)s - min(queued_at)) from core.erp_documents where state = 'waiting'),
       (select count(*) from core.erp_documents where state = 'waiting' and attempts > 0),
       (select count(*) from core.erp_documents where state in ('dead', 'rejected')),
       (select count(*) from core.span_outbox),
       (select count(*) from core.exceptions where state = 'open'),
       (select count(*) from (select business_date from core.stale_days union select business_date from core.touched_days)
            as stale where business_date < (%(now)s at time zone 'UTC')::date)

-- name: start_file
-- A run over a file begins.
insert into core.files (connector, name, sha256, shift_weeks, generated, started_at)
values (%(connector)s, %(name)s, %(sha256)s, %(shift_weeks)s, %(generated)s, %(now)s) returning run

-- name: unfinished_files
-- Runs that have not ended.
select run, name from core.files where state = 'reading' order by run

-- name: lock_run
-- Wait until nobody else reads a run.
select pg_advisory_lock(7404, %(run)s::integer)

-- name: unlock_run
-- Let others read a run.
select pg_advisory_unlock(7404, %(run)s::integer)

-- name: run
-- Where a run over a file stands.
select name, sha256, shift_weeks, messages_read, connector, generated from core.files where run = %(run)s

-- name: file_progress
-- How far a run over a file has come.
update core.files
set messages_read = messages_read + %(messages)s, lines_read = %(lines_read)s, lines_total = %(lines_total)s,
    accepted = accepted + %(accepted)s, duplicates = duplicates + %(duplicates)s, conflicts = conflicts + %(conflicts)s
where run = %(run)s

-- name: finish_file
-- A run over a file has ended.
update core.files set state = %(state)s, error = %(error)s, finished_at = %(now)s where run = %(run)s

-- name: file_status
-- The latest run over a file.
select run, sha256, state, shift_weeks, messages_read, lines_read, lines_total, accepted, duplicates, conflicts, error,
       started_at, finished_at
from core.files where connector = %(connector)s and name = %(name)s order by run desc limit 1

-- name: fix_shift
-- The number of weeks by which a connector's files are shifted, kept from its first use.
insert into core.file_shifts (connector, shift_weeks) values (%(connector)s, %(shift_weeks)s)
on conflict (connector) do update set shift_weeks = file_shifts.shift_weeks
returning shift_weeks

-- name: order_state
-- Orders as they stand.
select correlation_id, origin, order_id, channel, location, currency, captured_at, state, amount_minor, tax_minor,
       paid_minor,
       case when provider = '' then amount_minor + tax_minor - paid_minor
            else (select coalesce(sum(value::bigint), 0)::bigint from jsonb_each_text(edited)) end,
       coalesce((select erp_document from core.erp_documents where document_id = orders.origin || ':sales_order/' || orders.order_id),
                ''),
       (select coalesce(json_agg(json_build_array(kind, owner, detail, opened_at) order by opened_at, kind), '[]')
        from core.exceptions
        where exceptions.correlation_id = orders.correlation_id and exceptions.state = 'open'
          and kind = any(%(holding)s::text[])),
       (select coalesce(json_agg(json_build_array(journals.journal_id, journals.document,
                                                  coalesce(posted.state, 'waiting'), coalesce(posted.erp_document, ''))
                                 order by journals.occurred_at, journals.journal_id), '[]')
        from core.journals
        left join core.summary_journals as summed on summed.journal_id = journals.journal_id
        left join core.erp_documents as posted
            on posted.document_id = coalesce(summed.summary_id, journals.journal_id)
        where journals.correlation_id = orders.correlation_id
          and (posted.document_id is not null or summed.journal_id is not null)),
       (select json_agg(json_build_array(line_no, sku, kind, quantity, amount_minor,
                                         case when state = 'shipped' then 0 else reserved end,
                                         case when state = 'shipped' then quantity - cancelled else shipped end,
                                         cancelled, returned) order by line_no)
        from core.order_lines where order_lines.correlation_id = orders.correlation_id)
from core.orders where order_id = any(%(order_ids)s::text[]) order by order_id, origin

-- name: event_times
-- When events happened, as they were first told.
select inbox.source, inbox.event_id, inbox.occurred_at
from core.inbox
join unnest(%(source)s::text[], %(event_id)s::text[]) as asked (source, event_id) using (source, event_id)

-- name: decided
-- What became of events that are no longer queued.
select inbox.source, inbox.event_id, inbox.state, inbox.reason
from core.inbox join unnest(%(source)s::text[], %(event_id)s::text[]) as asked (source, event_id)
    using (source, event_id)
where inbox.state <> 'queued'

-- name: exceptions
-- Exceptions in a state, oldest first, those behind one of them.
select exception_id, kind, severity, correlation_id, entity, entity_id, owner, assignee, amount_minor, currency, detail,
       state, opened_at, resolved_at, resolution, replays
from core.exceptions
where state = %(state)s and (%(owner)s = '' or owner = %(owner)s) and (%(kind)s = '' or kind = %(kind)s)
  and (%(severity)s = '' or severity = %(severity)s)
  and (%(after)s = '' or (opened_at, exception_id) > (
      select before.opened_at, before.exception_id from core.exceptions as before
      where before.exception_id = %(after)s))
order by opened_at, exception_id limit %(limit)s

-- name: exceptions_summed
-- Open exceptions added up by what they are, whose they are and what kind of event caused them.
select exceptions.kind, exceptions.severity, exceptions.owner, coalesce(inbox.type, ''), coalesce(inbox.channel, ''),
       exceptions.currency, count(*), coalesce(sum(exceptions.amount_minor), 0)::bigint, min(exceptions.opened_at)
from core.exceptions
left join core.inbox on inbox.source = exceptions.cause_source
    and inbox.event_id = coalesce(nullif(exceptions.cause_event_id, ''), exceptions.entity_id)
where exceptions.state = 'open'
group by 1, 2, 3, 4, 5, 6
order by count(*) desc, 1, 2, 3, 4, 5, 6 limit %(limit)s

-- name: export_journal
-- The journal in business order, with nothing in it that depends on when it was processed.
select journals.occurred_at, journals.journal_id, journals.business_date, journals.document, journals.entity_id,
       journals.channel, journals.location, journals.currency, encode(journals.correlation_id, 'hex'),
       journals.rule_version, journal_lines.line_no, journal_lines.account, journal_lines.amount_minor,
       journal_lines.kind, journal_lines.quantity, journal_lines.line_count, journal_lines.source,
       journals.legal_entity, journal_lines.functional_minor, journals.functional_currency, journals.original_date,
       journal_lines.tax_code
from core.journals join core.journal_lines using (journal_id)
order by journals.occurred_at, journals.journal_id, journal_lines.line_no

-- name: unbalanced_journals
-- Journals whose debits and credits differ, or that lost their lines.
select journals.journal_id, coalesce(sum(journal_lines.amount_minor), 0)
from core.journals left join core.journal_lines using (journal_id)
group by journals.journal_id
having coalesce(sum(journal_lines.amount_minor), 0) <> 0 or count(journal_lines.journal_id) = 0
order by journals.journal_id limit %(limit)s

-- name: drifted_counters
-- Stock counters that differ from the sum of their movements, as JSON: what is kept, and what movements say.
with effect as (
    select * from unnest(%(kind)s::text[], %(counter)s::text[], %(factor)s::integer[]) as effect (kind, counter, factor)
), moved as (
    select sku, location, counter, sum(quantity * factor) as units
    from core.movements join effect using (kind) join core.movement_lines using (movement_id)
    group by sku, location, counter
), told as (
    select sku, location, jsonb_object_agg(counter, units) filter (where units <> 0) as counters from moved
    group by sku, location
), kept as (
    select sku, location, (select jsonb_object_agg(key, value) from jsonb_each(to_jsonb(stock))
                           where key = any(%(counters)s::text[]) and value <> '0') as counters
    from core.stock
)
select sku, location, coalesce(kept.counters, '{}'), coalesce(told.counters, '{}')
from kept full join told using (sku, location)
where coalesce(kept.counters, '{}') <> coalesce(told.counters, '{}')
order by sku, location limit %(limit)s

-- name: told_counters
-- What movements say of the counters of SKUs, as JSON.
with effect as (
    select * from unnest(%(kind)s::text[], %(counter)s::text[], %(factor)s::integer[]) as effect (kind, counter, factor)
), moved as (
    select sku, location, counter, sum(quantity * factor)::bigint as units
    from core.movements join effect using (kind) join core.movement_lines using (movement_id)
    where sku = any(%(skus)s::text[]) group by sku, location, counter
)
select sku, location, jsonb_object_agg(counter, units) from moved group by sku, location

-- name: damaged_movements
-- Movements that are not as they were written.
select business_key, kind, location, line_count, units, count(sku), coalesce(sum(quantity), 0)::bigint
from core.movements left join core.movement_lines using (movement_id)
group by movement_id
having line_count <> count(sku) or units <> coalesce(sum(quantity), 0)
order by business_key limit 500

-- name: add_count
-- Add to what counts of a day found.
insert into core.counts (channel, location, day, lines, equal, accurate)
values (%(channel)s, %(location)s, %(day)s, %(lines)s, %(equal)s, %(accurate)s)
on conflict (channel, location, day) do update set lines = counts.lines + excluded.lines,
    equal = counts.equal + excluded.equal, accurate = counts.accurate + excluded.accurate

-- name: accuracy
-- What counts found since a day, by channel and location.
select channel, location, sum(lines)::bigint, sum(equal)::bigint, sum(accurate)::bigint,
       div(sum(accurate) * 1000000, sum(lines))::bigint
from core.counts where day > %(since)s group by channel, location order by channel, location

-- name: save_repair
-- Keep what was repaired, by whom and why.
insert into core.repairs (document_id, sku, location, repaired_at, by_whom, reason, before, after)
values (%(document_id)s, %(sku)s, %(location)s, %(at)s, %(by)s, %(reason)s, %(before)s, %(after)s)

-- name: repairs
-- What was repaired, newest first.
select document_id, sku, location, repaired_at, by_whom, reason, before, after from core.repairs
where %(document_id)s = '' or document_id = %(document_id)s
order by repaired_at desc, sku, location limit %(limit)s

-- name: negative_free
-- Stock that is promised beyond what is there, while no open exception of just so many units says so.
select sku, location, good - reserved - committed from core.stock
left join core.exceptions on exception_id = oversold_exception and state = 'open'
where greatest(0, reserved + committed - good) <> oversold
   or (oversold > 0 and exception_id is null)
order by sku, location limit %(limit)s

-- name: audit_counts
-- The size of everything that verify looks at.
select (select count(*) from core.inbox), (select count(*) from core.inbox where state = 'done'),
       (select count(*) from core.journals), (select count(*) from core.journal_lines),
       (select count(*) from core.movement_lines), (select count(*) from core.stock),
       (select coalesce(sum(octet_length(span_ids)) / 8, 0)::bigint from core.span_batches)

-- name: committed_span_ids
-- The IDs of all spans that were committed with their state, eight bytes each, in batches.
select span_ids from core.span_batches order by batch

-- name: by_kind
-- Lines, units and money by document and kind, from journal lines that a file states.
select journals.document, journal_lines.kind, sum(journal_lines.line_count), sum(journal_lines.quantity),
       -sum(journal_lines.amount_minor), sum(journal_lines.pieces), sum(journal_lines.residue_micros),
       count(distinct journals.journal_id), count(distinct journal_lines.related)
from core.journals join core.journal_lines using (journal_id)
where journal_lines.source = 'file' and journal_lines.kind <> ''
group by journals.document, journal_lines.kind order by journals.document, journal_lines.kind

-- name: parked_by_reason
-- Parked lines that a file states, by reason.
select reason, count(*) filter (where whole_line), count(*), sum(quantity), sum(amount_minor)
from core.parked_items where source = 'file' and state = 'open' group by reason order by reason

-- name: documents_by_type
-- How many documents of each kind a file held.
select case when type like '%%credit_memo%%' then 'credit notes' when type like '%%order.captured%%' then 'orders'
            when type like '%%charge%%' then 'charges' when type like '%%adjusted%%' and type like '%%stock%%' then 'stock adjustments'
            else 'bad debt' end, count(*)
from core.inbox where provenance = 'file' group by 1 order by 1

-- name: mapping
-- How a kind of file is read.
select body from core.mappings where name = %(name)s

-- name: mappings
-- The kinds of files that mappings describe.
select name, body, set_at from core.mappings order by name

-- name: save_mapping
-- Describe a kind of file.
insert into core.mappings (name, body, set_at) values (%(name)s, %(body)s, %(now)s)
on conflict (name) do update set body = excluded.body, set_at = excluded.set_at

-- name: lock_staging
-- One file of settlements at a time decides what is known already.
select pg_advisory_xact_lock(7407, 2)

-- name: new_settlement
-- A number for a settlement that is being read.
select nextval(pg_get_serial_sequence('core.settlements', 'settlement'))

-- name: settlement_versions
-- What is known of a settlement, latest first.
select version, digest, currency, business_date from core.settlements where origin = %(origin)s and settlement_id = %(settlement_id)s
order by version desc limit 1

-- name: drop_lines
-- Lines that were known turn out to be of no use.
delete from core.settlement_lines where settlement = %(settlement)s

-- name: add_settlement
-- A settlement whose lines are kept.
insert into core.settlements (settlement, origin, settlement_id, version, kind, currency, payout_id, business_date,
                              correlation_id, digest, file, lines, received_at, clock_offset)
values (%(settlement)s, %(origin)s, %(settlement_id)s, %(version)s, %(kind)s, %(currency)s, %(payout_id)s,
        %(business_date)s, %(correlation_id)s, %(digest)s, %(file)s, %(lines)s, %(now)s, %(clock_offset)s)

-- name: save_control_total
-- What somebody says a day came to; the latest statement of it counts.
insert into core.control_totals (origin, kind, business_date, channel, provider, location, currency, document_id, stated_at,
                                 count, amount_minor, tax_minor, documents)
values (%(origin)s, %(kind)s, %(business_date)s, %(channel)s, %(provider)s, %(location)s, %(currency)s, %(document_id)s,
        %(stated_at)s, %(count)s, %(amount_minor)s, %(tax_minor)s, %(documents)s)
on conflict (business_date, origin, kind, channel, provider, location, currency) do update
set document_id = excluded.document_id, stated_at = excluded.stated_at, count = excluded.count,
    amount_minor = excluded.amount_minor, tax_minor = excluded.tax_minor, documents = excluded.documents
where excluded.stated_at >= control_totals.stated_at
