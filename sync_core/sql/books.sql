-- What is asked of the books: periods and their close, statements of accounts, journals and their summaries.

-- name: lock_periods
-- Nobody posts and nobody closes until this transaction ends.
select pg_advisory_xact_lock(7412, 1)

-- name: periods
-- Periods with entries, or that are not open, latest first.
select legal_entity, period, coalesce(state, 'open'), coalesce(journals, 0), closed_at
from (
    select legal_entity, to_char(business_date, 'YYYY-MM') as period, count(*) as journals
    from core.journals where %(entity)s in ('', legal_entity) group by 1, 2
) as booked
full join (select * from core.periods where %(entity)s in ('', legal_entity)) as kept using (legal_entity, period)
order by period desc, legal_entity limit %(limit)s

-- name: period_state
-- A period as it is kept.
select state, closed_at from core.periods where legal_entity = %(entity)s and period = %(period)s

-- name: end_periods
-- The legal entities with entries in a month that is over, and of which that has not been told before.
with found as (
    select distinct legal_entity from core.journals where business_date between %(starts)s and %(ends)s
), told as (
    insert into core.period_ends (legal_entity, period) select legal_entity, %(period)s from found
    on conflict do nothing
    returning legal_entity
)
select legal_entity, told.legal_entity is not null from found left join told using (legal_entity)

-- name: save_period
-- A period as it is now.
insert into core.periods (legal_entity, period, starts, ends, state, closed_at)
values (%(entity)s, %(period)s, %(starts)s, %(ends)s, %(state)s, %(closed_at)s)
on conflict (legal_entity, period) do update set state = excluded.state, closed_at = excluded.closed_at

-- name: add_period_action
-- Who changed the state of a period, why, and what was open then.
insert into core.period_actions (legal_entity, period, at, by_whom, action, reason, open_points)
values (%(entity)s, %(period)s, %(now)s, %(by)s, %(action)s, %(reason)s, %(points)s)

-- name: period_actions
-- The record of a period, oldest first.
select at, by_whom, action, reason, open_points from core.period_actions
where legal_entity = %(entity)s and period = %(period)s order by number

-- name: close_exceptions
-- Open exceptions about what happened until the end of a period, worst first.
select exception_id, amount_minor, currency, count(*) over () from core.exceptions
where state = 'open' and opened_at::date <= %(ends)s and (
    not exists (select from core.journals where journals.correlation_id = exceptions.correlation_id)
    or exists (select from core.journals
               where journals.correlation_id = exceptions.correlation_id and legal_entity = %(entity)s))
order by abs(amount_minor) desc, exception_id limit %(limit)s

-- name: close_events
-- Events of a period that are not processed.
select source || '/' || event_id, 0, '', count(*) over () from core.inbox
where state in ('queued', 'parked', 'dead') and business_date <= %(ends)s order by seq limit %(limit)s

-- name: close_unposted
-- Journals and documents of a period that the ERP has not taken.
select document_id, worth_minor, currency, count(*) over ()
from core.erp_documents
where state in ('waiting', 'rejected', 'dead') and business_date between %(starts)s and %(ends)s
  and legal_entity = %(entity)s
order by worth_minor desc, document_id limit %(limit)s

-- name: close_unsummarised
-- Journals of a period whose summary is not made.
select journal_id, 0, currency, count(*) over () from core.summary_journals
where summary_id is null and legal_entity = %(entity)s and business_date between %(starts)s and %(ends)s
order by journal_id limit %(limit)s

-- name: close_unmatched
-- What of a period was to be settled by now.
select account || ' ' || reference, open_minor, open_items.currency, count(*) over ()
from core.open_items join core.journals using (journal_id)
where open_minor <> 0 and open_items.due_at <= %(now)s and legal_entity = %(entity)s
  and open_items.business_date <= %(ends)s
order by abs(open_minor) desc, item_id limit %(limit)s

-- name: close_accounts
-- Accounts that end at nothing once all has settled, that hold at the end of a period something that is not expected.
with held as (
    select account, currency, sum(amount_minor)::bigint as minor
    from core.journal_lines join core.journals using (journal_id)
    where legal_entity = %(entity)s and business_date <= %(ends)s
      and (starts_with(account, %(clearing)s) or account = any(%(accounts)s::text[]))
    group by account, currency
), expected as (
    select account, currency, sum(open_minor)::bigint as minor from core.open_items
    where business_date <= %(ends)s and due_at > %(now)s group by account, currency
)
select account, held.minor - coalesce(expected.minor, 0), currency, count(*) over ()
from held left join expected using (account, currency)
where held.minor <> coalesce(expected.minor, 0) order by abs(held.minor) desc, account limit %(limit)s

-- name: statement
-- What is open on an account, oldest first: items that nothing has closed, by the day they were booked on.
select item_id, business_date, document, reference, order_id, origin, encode(correlation_id, 'hex'), journal_id, currency,
       amount_minor, open_minor, due_at
from core.open_items where account = %(account)s and open_minor <> 0 and business_date <= %(until)s
order by business_date, item_id limit %(limit)s

-- name: statement_lines
-- What of settlements is open on an account: it closes what is not booked yet.
select line_id, settlement_lines.business_date, settlement_lines.kind, reference, order_id, origin, encode(correlation_id, 'hex'),
       origin || ':settlement/' || settlement_id, settlement_lines.currency, -amount_minor, -open_minor, received_at
from core.settlement_lines join core.settlements using (settlement)
where account = %(account)s and open_minor <> 0 and state in ('posted', 'matched')
  and settlement_lines.business_date <= %(until)s
order by settlement_lines.business_date, line_id limit %(limit)s

-- name: statement_ages
-- The same by age, and what the account holds.
with open as (
    select currency, business_date, open_minor as minor from core.open_items
    where account = %(account)s and open_minor <> 0 and business_date <= %(until)s
    union all
    select settlement_lines.currency, settlement_lines.business_date, -open_minor
    from core.settlement_lines join core.settlements using (settlement)
    where account = %(account)s and open_minor <> 0 and state in ('posted', 'matched')
      and settlement_lines.business_date <= %(until)s
), aged as (
    select currency, (%(until)s::date - business_date) as days, minor from open
), told as (
    select currency, sum(minor)::bigint as open,
           coalesce(sum(minor) filter (where days <= 7), 0)::bigint as week,
           coalesce(sum(minor) filter (where days between 8 and 30), 0)::bigint as month,
           coalesce(sum(minor) filter (where days between 31 and 90), 0)::bigint as quarter,
           coalesce(sum(minor) filter (where days > 90), 0)::bigint as older
    from aged group by currency
), held as (
    select currency, sum(amount_minor)::bigint as minor, count(*) as lines
    from core.journal_lines join core.journals using (journal_id)
    where account = %(account)s and business_date <= %(until)s group by currency
)
select currency, coalesce(held.minor, 0), coalesce(held.lines, 0), coalesce(open, 0), coalesce(week, 0),
       coalesce(month, 0), coalesce(quarter, 0), coalesce(older, 0)
from held full join told using (currency) order by currency

-- name: journal
-- A journal with its dimensions, and in which summary the ERP has it.
select journals.journal_id, journals.legal_entity, journals.business_date, original_date, occurred_at, document,
       entity_id, channel, journals.location, journals.currency, functional_currency, encode(journals.correlation_id, 'hex'), rule_version,
       journals.event_source, journals.event_id, journals.provenance, coalesce(summary_id, ''),
       coalesce((select erp_document from core.erp_documents
                 where document_id = coalesce(summary_id, journals.journal_id)), '')
from core.journals left join core.summary_journals using (journal_id) where journals.journal_id = %(id)s

-- name: lines_of_journal
-- Its lines.
select account, amount_minor, functional_minor, kind, quantity, reference, source, tax_code
from core.journal_lines where journal_id = %(id)s order by line_no

-- name: margins
-- What was sold through each channel within days, what it cost, and what else was spent on it.
select legal_entity, channel, currency,
       -coalesce(sum(amount_minor) filter (where starts_with(account, 'revenue:')), 0)::bigint as sales,
       coalesce(sum(amount_minor) filter (where account = %(cost)s), 0)::bigint as cost,
       coalesce(sum(amount_minor) filter (where starts_with(account, 'expenses:') and account <> %(cost)s), 0)::bigint
from core.journals join core.journal_lines using (journal_id)
where business_date between %(since)s and %(until)s
  and (starts_with(account, 'revenue:') or starts_with(account, 'expenses:'))
group by 1, 2, 3 order by 1, 2, 3

-- name: days_to_summarise
-- Days of stores that are over and have journals the ERP is to have in one.
select legal_entity, location, business_date, currency from core.summary_journals
where summary_id is null and business_date < %(before)s
group by 1, 2, 3, 4 order by business_date, location, currency limit %(limit)s

-- name: summarise
-- Take the journals of a day of a store into a summary.
update core.summary_journals set summary_id = %(id)s
where summary_id is null and legal_entity = %(entity)s and location = %(location)s and business_date = %(day)s
  and currency = %(currency)s
returning journal_id

-- name: summaries_before
-- How many summaries a day of a store has.
select count(distinct summary_id) from core.summary_journals
where legal_entity = %(entity)s and location = %(location)s and business_date = %(day)s and currency = %(currency)s

-- name: summed_lines
-- What journals come to by account and code of tax: one line a tender, a tax, a kind of revenue.
select account, sum(amount_minor)::bigint, tax_code from core.journal_lines where journal_id = any(%(ids)s::text[])
group by account, tax_code having sum(amount_minor) <> 0 order by account, tax_code

-- name: summed_journals
-- What journals are about.
select journal_id, correlation_id, document, entity_id, channel from core.journals
where journal_id = any(%(ids)s::text[]) order by journal_id

-- name: add_erp_summary
-- Offer a summary to the ERP.
insert into core.erp_documents
    (document_id, kind, erp, legal_entity, lane, correlation_id, origin, document, entity_id, business_date, channel, location, currency,
     worth_minor, event_source, event_id, provenance, clock_offset, due_at, body, not_before, queued_at)
values (%(id)s, 'journal', %(erp)s, %(legal_entity)s, %(lane)s, %(identity)s, %(origin)s, 'summary', %(entity_id)s, %(day)s, '', %(location)s,
        %(currency)s, %(worth)s, %(origin)s, %(entity_id)s, 'live', interval '0', %(due_at)s, %(body)s, %(now)s, %(now)s)

-- name: summary_journals_of
-- The journals of a summary.
select journal_id from core.summary_journals where summary_id = %(id)s order by journal_id

-- name: gift_cards_differ
-- Gift cards whose balance is not what their account says of them.
select reference, kept, booked from (
    select coalesce(booked.reference, cards.reference) as reference, coalesce(cards.minor, 0) as kept,
           coalesce(booked.minor, 0) as booked
    from (select origin || ':' || card_id as reference, balance_minor as minor from core.gift_cards) as cards
    full join (
        select reference, -sum(amount_minor)::bigint as minor from core.journal_lines
        where account = %(account)s and reference <> '' group by reference
    ) as booked using (reference)
) as both_sides where kept <> booked order by abs(kept - booked) desc limit %(limit)s

-- name: contracts_differ
-- What is owed to customers who paid and have not been served, by order and by account.
with owed as (
    select split_part(entry.key, ':', 1) as kind, sum(entry.value::bigint)::bigint as minor
    from core.orders cross join jsonb_each_text(contract) as entry group by 1
), by_account as (
    select account, sum(minor)::bigint as minor
    from owed join unnest(%(kinds)s::text[], %(accounts)s::text[]) as named (kind, account) using (kind) group by account
), booked as (
    select account, -sum(amount_minor)::bigint as minor from core.journal_lines
    where account = any(%(accounts)s::text[]) and account <> %(cards)s group by account
)
select account, coalesce(by_account.minor, 0), coalesce(booked.minor, 0)
from (select * from by_account where account <> %(cards)s) as by_account full join booked using (account)
where coalesce(by_account.minor, 0) <> coalesce(booked.minor, 0)
order by account limit %(limit)s

-- name: counted_for_checks
-- How many gift cards and orders there are.
select (select count(*) from core.gift_cards), (select count(*) from core.orders)
