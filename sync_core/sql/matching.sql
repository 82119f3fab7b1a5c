-- What settles what: lines of settlements against open items, by the set. The keys stand for columns of the rules.

-- name: matching_stand
-- What matching depends on: the same as long as nothing came, nothing was booked and nobody matched.
select (select coalesce(max(line_id), 0) from core.settlement_lines), (select coalesce(max(item_id), 0) from core.open_items),
       (select coalesce(max(match_id), 0) from core.matches),
       (select count(*) from core.settlements where state in ('received', 'posted')),
       (select count(*) from core.settlements where state in ('received', 'posted') and state = 'posted')

-- name: settlements_stand
-- How many settlements were kept, how many of them are in the books, or will not be, and the newest.
select count(*), count(*) filter (where state <> 'received' or received_at < %(since)s), coalesce(max(settlement), 0)
from core.settlements

-- name: lines_to_match
-- How many lines of settlements in the books nothing is matched with.
select count(*) from core.settlements join core.settlement_lines using (settlement)
where state in ('received', 'posted') and state = 'posted' and open_minor <> 0

-- name: name_cash
-- An entry of a bank that names cash on its way to it settles that, and no payout.
update core.settlement_lines set account = %(cash)s
from core.settlements
where settlements.settlement = settlement_lines.settlement and settlements.kind = 'bank' and state = 'posted'
  and open_minor <> 0 and account = %(payouts)s and exists (
    select from core.open_items where open_items.account = %(cash)s and open_items.open_minor <> 0
      and open_items.reference <> ''
      and open_items.reference = any(settlement_lines.reference || regexp_split_to_array(alternate, '[\s,;:/]+'))
  )

-- name: last_match
-- The newest match.
select coalesce(max(match_id), 0) from core.matches

-- name: match_exact
-- One line and one item with the same number, currency and amount; of several alike, the oldest with the oldest due.
with line as (
    select line_id, account, settlement_lines.currency, /*line_key*/ as key, open_minor,
           settlement_lines.business_date,
           row_number() over (partition by account, settlement_lines.currency, /*line_key*/, open_minor
                              order by settlement_lines.business_date, line_id) as place
    from core.settlement_lines join core.settlements using (settlement)
    where state = 'posted' and open_minor <> 0 and /*line_key*/ <> ''
), item as (
    select item_id, account, currency, /*item_key*/ as key, open_minor, business_date,
           row_number() over (partition by account, currency, /*item_key*/, open_minor order by due_at, item_id) as place
    from core.open_items where open_minor <> 0 and (account, /*item_key*/) in (select account, key from line)
)
insert into core.matches (line_id, item_id, amount_minor, rule, rule_version, at)
select line_id, item_id, open_minor, %(rule)s, %(version)s, %(now)s
from line join item using (account, currency, key, open_minor, place)
where abs(line.business_date - item.business_date) <= %(days)s and %(tolerance_minor)s = 0 and not %(partial)s

-- name: match_near
-- One line and one item with the same number and currency, whose amounts differ by no more than a tolerance.
with line as (
    select line_id, account, settlement_lines.currency, /*line_key*/ as key, open_minor,
           settlement_lines.business_date,
           row_number() over (partition by account, settlement_lines.currency, /*line_key*/
                              order by open_minor, line_id) as place
    from core.settlement_lines join core.settlements using (settlement)
    where state = 'posted' and open_minor <> 0 and /*line_key*/ <> ''
), item as (
    select item_id, account, currency, /*item_key*/ as key, open_minor, business_date,
           row_number() over (partition by account, currency, /*item_key*/ order by open_minor, item_id) as place
    from core.open_items where open_minor <> 0 and (account, /*item_key*/) in (select account, key from line)
)
insert into core.matches (line_id, item_id, amount_minor, difference_minor, rule, rule_version, at)
select line_id, item_id, line.open_minor, item.open_minor - line.open_minor, %(rule)s, %(version)s, %(now)s
from line join item using (account, currency, key, place)
where abs(line.business_date - item.business_date) <= %(days)s and sign(line.open_minor) = sign(item.open_minor)
  and abs(item.open_minor - line.open_minor) <= %(tolerance_minor)s and not %(partial)s

-- name: match_named
-- One entry of a bank and one item of the same currency and amount that a word of the entry's text names.
with line as (
    select line_id, account, settlement_lines.currency, word, open_minor, settlement_lines.business_date
    from core.settlement_lines join core.settlements using (settlement)
    cross join lateral (select distinct regexp_split_to_table(/*line_key*/, '[\s,;:/]+') as word) as words
    where state = 'posted' and settlement_lines.kind = 'bank' and open_minor <> 0 and word <> ''
), pair as (
    select line_id, item_id, line.open_minor,
           row_number() over (partition by line_id order by due_at, item_id) as line_place,
           row_number() over (partition by item_id order by line.business_date, line_id) as item_place
    from line join core.open_items as item
        on item.account = line.account and item.currency = line.currency and item./*item_key*/ = word
        and item.open_minor = line.open_minor
    where abs(line.business_date - item.business_date) <= %(days)s and %(tolerance_minor)s = 0 and not %(partial)s
)
insert into core.matches (line_id, item_id, amount_minor, rule, rule_version, at)
select line_id, item_id, open_minor, %(rule)s, %(version)s, %(now)s from pair where line_place = 1 and item_place = 1

-- name: match_many_to_one
-- Lines that together are one item, or with partial less than it.
with line as (
    select account, settlement_lines.currency, /*line_key*/ as key, settlement_lines.kind = 'refund' as back,
           sum(open_minor) as open_minor, max(settlement_lines.business_date) as business_date,
           array_agg(line_id order by line_id) as line_ids
    from core.settlement_lines join core.settlements using (settlement)
    where state = 'posted' and open_minor <> 0 and /*line_key*/ <> ''
    group by account, settlement_lines.currency, /*line_key*/, settlement_lines.kind = 'refund'
), item as (
    select min(item_id) as item_id, account, currency, /*item_key*/ as key, amount_minor < 0 as back,
           min(open_minor) as open_minor, min(business_date) as business_date
    from core.open_items where open_minor <> 0 and (account, /*item_key*/) in (select account, key from line)
    group by account, currency, /*item_key*/, amount_minor < 0 having count(*) = 1
)
insert into core.matches (line_id, item_id, amount_minor, rule, rule_version, at)
select settlement_lines.line_id, item_id, settlement_lines.open_minor, %(rule)s, %(version)s, %(now)s
from line join item using (account, currency, key, back)
join core.settlement_lines on settlement_lines.line_id = any(line.line_ids)
where abs(line.business_date - item.business_date) <= %(days)s and %(tolerance_minor)s = 0
  and (line.open_minor = item.open_minor
       or (%(partial)s and sign(line.open_minor) = sign(item.open_minor)
           and abs(line.open_minor) < abs(item.open_minor)))

-- name: match_one_to_many
-- A line that is several items together.
with line as (
    select min(line_id) as line_id, account, settlement_lines.currency, /*line_key*/ as key,
           min(open_minor) as open_minor, min(settlement_lines.business_date) as business_date
    from core.settlement_lines join core.settlements using (settlement)
    where state = 'posted' and open_minor <> 0 and /*line_key*/ <> ''
    group by account, settlement_lines.currency, /*line_key*/ having count(*) = 1
), item as (
    select account, currency, /*item_key*/ as key, sum(open_minor) as open_minor, max(business_date) as business_date,
           array_agg(item_id order by item_id) as item_ids
    from core.open_items where open_minor <> 0 and (account, /*item_key*/) in (select account, key from line)
    group by account, currency, /*item_key*/
)
insert into core.matches (line_id, item_id, amount_minor, rule, rule_version, at)
select line_id, open_items.item_id, open_items.open_minor, %(rule)s, %(version)s, %(now)s
from line join item using (account, currency, key, open_minor)
join core.open_items on open_items.item_id = any(item.item_ids)
where abs(line.business_date - item.business_date) <= %(days)s and %(tolerance_minor)s = 0 and not %(partial)s

-- name: use_lines
-- Take from lines what new matches used of them.
update core.settlement_lines set open_minor = open_minor - used.amount_minor
from (select line_id, sum(amount_minor)::bigint as amount_minor from core.matches
      where match_id > %(since)s and line_id is not null group by line_id) as used
where settlement_lines.line_id = used.line_id

-- name: use_items
-- Take from items what new matches used of them.
update core.open_items set open_minor = open_minor - used.amount_minor
from (select item_id, sum(amount_minor + difference_minor)::bigint as amount_minor from core.matches
      where match_id > %(since)s and item_id is not null group by item_id) as used
where open_items.item_id = used.item_id

-- name: matches_to_tell
-- Matches that lineage does not know of, in the order they were made.
with told as materialized (
    select * from core.matches
    where match_id > (select told_through from core.matching) and undone_at is null
      and line_id is not null and item_id is not null
    order by match_id limit %(limit)s
)
select match_id, told.amount_minor, difference_minor, settlements.settlement, settlement_lines.position,
       settlement_lines.fee_type, settlement_lines.exception_id, settlement_lines.open_minor, open_items.item_id,
       open_items.account, open_items.correlation_id, open_items.origin, open_items.document, open_items.reference, open_items.open_minor,
       open_items.currency, open_items.exception_id, rule, rule_version, by_whom, reason
from told
join core.settlement_lines using (line_id)
join core.settlements using (settlement)
join core.open_items using (item_id)
order by match_id

-- name: matches_told
-- How far lineage knows of matches.
update core.matching set told_through = %(through)s

-- name: settlements_of
-- Settlements by number.
select settlement, origin, settlement_id, version, kind, currency, payout_id, business_date, correlation_id, clock_offset
from core.settlements where settlement = any(%(settlements)s::bigint[])

-- name: settlements_to_tell
-- Settlements in the books with lines that lineage does not know of.
select settlement from core.settlements
where state in ('received', 'posted') and state = 'posted' and told_through < (
    select max(line_id) from core.settlement_lines where settlement_lines.settlement = settlements.settlement
)
order by settlement limit 1

-- name: fees_to_tell
-- Lines of a settlement that were booked by themselves, with the transaction that each is about where it is known.
select line.line_id, line.kind, line.fee_type, line.amount_minor, line.currency, line.reference,
       item.correlation_id, item.origin, item.reference
from core.settlement_lines as line
left join lateral (
    select correlation_id, origin, reference from core.open_items
    where account = line.account and reference in (line.reference, line.alternate) and reference <> ''
    order by item_id limit 1
) as named on true
left join lateral (
    select correlation_id, origin, reference from core.open_items
    where named.correlation_id is null and line.order_id <> '' and order_id = line.order_id and account = line.account
    order by item_id limit 1
) as ordered on true
cross join lateral (
    select coalesce(named.correlation_id, ordered.correlation_id), coalesce(named.origin, ordered.origin),
           coalesce(named.reference, ordered.reference)
) as item (correlation_id, origin, reference)
where settlement = %(settlement)s and line_id > (select told_through from core.settlements
                                                 where settlement = %(settlement)s)
order by line_id limit %(limit)s

-- name: fees_told
-- How far lineage knows of a settlement's lines.
update core.settlements set told_through = %(through)s where settlement = %(settlement)s

-- name: settlements_matched
-- Settlements of which every line is matched now.
update core.settlements set state = 'matched'
where state = 'posted' and not exists (
    select from core.settlement_lines where settlement_lines.settlement = settlements.settlement and open_minor <> 0
)
returning settlement

-- name: items_overdue
-- Items that should have been settled by now, and nobody knows.
select item_id, account, currency, open_minor, reference, origin, correlation_id, business_date, document, order_id,
       open_minor <> amount_minor
from core.open_items
where due_at > (select due_through from core.matching) and due_at <= %(now)s and open_minor <> 0 and exception_id = ''
order by due_at, item_id limit %(limit)s for update

-- name: items_of
-- Items by number, as what is overdue is named.
select item_id, account, currency, open_minor, reference, origin, correlation_id, business_date, document, order_id,
       open_minor <> amount_minor
from core.open_items where item_id = any(%(ids)s::bigint[]) order by item_id for update

-- name: items_passed_over
-- Items that were made up with their trade and that nobody settled, though their provider has settled later ones.
with reached as (
    select %(clearing)s || origin as account, max(business_date) as on_day from core.settlements
    where kind = 'processor' and state in ('posted', 'matched') group by origin
)
select item_id, account, currency, open_minor, reference, origin, correlation_id, business_date, document, order_id,
       open_minor <> amount_minor
from reached join unnest(%(prefix)s::text[], %(days)s::integer[]) as rule (prefix, days) on starts_with(account, prefix)
join core.open_items using (account)
where due_at = %(never)s and open_minor <> 0 and exception_id = '' and business_date + days < on_day
order by item_id limit %(limit)s

-- name: lines_in_other_currency
-- Lines of the number of an item in another currency: the item is not settled by them.
select line_id, item_id, settlement, position, settlement_lines.currency, settlement_lines.open_minor,
       open_items.currency, open_items.open_minor, open_items.reference, open_items.origin, open_items.correlation_id,
       open_items.business_date
from core.settlements join core.settlement_lines using (settlement)
join core.open_items on open_items.account = settlement_lines.account
    and open_items.reference in (settlement_lines.reference, settlement_lines.alternate) and open_items.reference <> ''
where state = 'posted' and settlement_lines.open_minor <> 0 and settlement_lines.exception_id = ''
  and settlement_lines.currency <> open_items.currency and open_items.open_minor <> 0 and open_items.exception_id = ''
order by line_id limit %(limit)s

-- name: due_seen
-- Every item due until then has been looked at; what commits late is never due so early.
update core.matching set due_through = %(now)s - interval '1 hour' where due_through < %(now)s - interval '1 hour'

-- name: items_raised
-- Which exception each item has.
update core.open_items set exception_id = new.exception_id
from unnest(%(item_id)s::bigint[], %(exception_id)s::text[]) as new (item_id, exception_id)
where open_items.item_id = new.item_id

-- name: lines_overdue
-- Lines that nothing was found for in time, on their settlement's own clock, and nobody knows.
select line_id, position, settlement_lines.kind, settlement_lines.currency, open_minor, reference, alternate, order_id,
       coalesce(back.correlation_id, sold.correlation_id), coalesce(back.origin, sold.origin), settlement
from core.settlement_lines join core.settlements using (settlement)
left join lateral (
    select correlation_id, origin from core.open_items
    where (settlement_lines.kind = 'refund' or settlement_lines.kind = 'bank' and settlement_lines.open_minor < 0)
      and open_items.reference = case settlement_lines.kind when 'bank' then settlement_lines.reference else alternate end
      and open_items.reference <> '' and open_items.account = settlement_lines.account and amount_minor > 0
    order by item_id limit 1
) as sold on true
left join lateral (
    select correlation_id, origin from core.returns
    where returns."order" = sold.correlation_id
      and approved_minor - refunded_minor - released_minor = -settlement_lines.open_minor
    order by opened_at limit 1
) as back on true
where open_minor <> 0 and exception_id = '' and state = 'posted'
  and (received_at + clock_offset <= %(since)s or settlement_lines.business_date <= %(long_ago)s)
order by line_id limit %(limit)s for update of settlement_lines

-- name: lines_raised
-- Which exception each line has.
update core.settlement_lines set exception_id = new.exception_id
from unnest(%(line_id)s::bigint[], %(exception_id)s::text[]) as new (line_id, exception_id)
where settlement_lines.line_id = new.line_id

-- name: chosen_lines
-- Lines that somebody chose.
select line_id, account, settlement_lines.currency, open_minor, settlement, exception_id, position
from core.settlement_lines join core.settlements using (settlement)
where line_id = any(%(ids)s::bigint[]) and state in ('posted', 'matched') order by line_id for update of settlement_lines

-- name: chosen_items
-- Items that somebody chose.
select item_id, account, currency, open_minor, correlation_id, origin, reference, exception_id
from core.open_items where item_id = any(%(ids)s::bigint[]) order by item_id for update

-- name: add_match
-- Somebody's decision on a line, an item, or both.
insert into core.matches (line_id, item_id, amount_minor, difference_minor, rule, rule_version, by_whom, reason, at)
values (%(line_id)s, %(item_id)s, %(amount_minor)s, %(difference_minor)s, %(rule)s, %(version)s, %(by)s, %(reason)s,
        %(now)s)

-- name: open_sides
-- What is open, oldest first: lines (settled by nobody's order) and items (owed by somebody's settlement).
select * from (
    select 'line' as side, line_id as id, account, settlement_lines.currency, amount_minor, open_minor, reference,
           order_id, origin, settlement_id, settlement_lines.business_date, exception_id,
           case when exception_id <> '' then 'unmatched' when open_minor <> amount_minor then 'partially matched'
                else 'expected' end as state
    from core.settlement_lines join core.settlements using (settlement)
    where open_minor <> 0 and settlements.state = 'posted'
    union all
    select 'item', item_id, account, currency, amount_minor, open_minor, reference, order_id, origin, '', business_date,
           exception_id,
           case when exception_id <> '' then 'unmatched' when open_minor <> amount_minor then 'partially matched'
                else 'expected' end
    from core.open_items where open_minor <> 0
    union all
    select 'line', line_id, account, settlement_lines.currency, settlement_lines.amount_minor,
           settlement_lines.amount_minor, reference, order_id, origin, settlement_id, settlement_lines.business_date,
           exception_id, 'disputed'
    from core.settlement_lines join core.settlements using (settlement) join core.exceptions using (exception_id)
    where settlement_lines.kind = 'chargeback' and settlement_lines.exception_id <> '' and exceptions.state = 'open'
) as sides
where starts_with(account, %(account)s) and (%(state)s = '' or state = %(state)s)
order by business_date, side, id limit %(limit)s

-- name: proposals
-- What may belong together by amount and date alone, where there is one of each: for a person to decide.
with line as (
    select line_id, account, settlement_lines.currency, open_minor, settlement_lines.business_date,
           count(*) over (partition by account, settlement_lines.currency, open_minor) as alike
    from core.settlement_lines join core.settlements using (settlement) where state = 'posted' and open_minor <> 0
), item as (
    select item_id, account, currency, open_minor, business_date,
           count(*) over (partition by account, currency, open_minor) as alike
    from core.open_items where open_minor <> 0 and (account, open_minor) in (select account, open_minor from line)
)
select line_id, item_id, account, currency, open_minor, abs(line.business_date - item.business_date)
from line join item using (account, currency, open_minor)
where line.alike = 1 and item.alike = 1 and abs(line.business_date - item.business_date) <= %(days)s
order by line_id limit %(limit)s

-- name: settlements_told
-- Settlements, latest first, with what of them is matched.
select origin, settlement_id, version, kind, currency, payout_id, business_date, encode(correlation_id, 'hex'), file,
       settlements.lines, state, received_at, found.lines, coalesce(found.minor, 0)
from core.settlements
left join lateral (
    select count(*) as lines, sum(abs(open_minor))::bigint as minor from core.settlement_lines
    where settlement_lines.settlement = settlements.settlement and open_minor <> 0
) as found on true
where %(origin)s::text in ('', origin) order by settlement desc limit %(limit)s

-- name: decisions
-- Who decided what about lines and items by hand, latest first.
select match_id, line_id, item_id, amount_minor, difference_minor, rule, rule_version, by_whom, reason, at
from core.matches where by_whom <> '' order by match_id desc limit %(limit)s

-- name: chosen_settlements
-- The settlements of lines that somebody chose.
select line_id, correlation_id, origin, settlement_id from core.settlement_lines join core.settlements using (settlement)
where line_id = any(%(ids)s::bigint[])

-- name: held_and_open
-- What accounts that are settled hold, beside what is open on them: items less lines. A match that is not told yet is
-- not booked yet where its booking is its own: a bank's entry, a difference.
with holds as (
    select account, currency, sum(amount_minor)::bigint as minor
    from core.journal_lines join core.journals using (journal_id)
    where starts_with(account, %(clearing)s) or account = any(array_append(%(banked)s::text[], %(unidentified)s))
    group by account, currency
), untold as (
    select settlements.kind, open_items.account, settlement_lines.currency, matches.amount_minor, difference_minor
    from core.matches join core.settlement_lines using (line_id) join core.settlements using (settlement)
    join core.open_items using (item_id)
    where match_id > (select told_through from core.matching) and undone_at is null and item_id is not null
), open as (
    select account, currency, open_minor as minor from core.open_items where open_minor <> 0
    union all
    select case when settlements.kind = 'bank' then %(unidentified)s else account end, settlement_lines.currency,
           -open_minor
    from core.settlement_lines join core.settlements using (settlement)
    where open_minor <> 0 and state in ('posted', 'matched')
    union all
    select account, currency, difference_minor + case when kind = 'bank' then amount_minor else 0 end from untold
    union all
    select %(unidentified)s, currency, -amount_minor from untold where kind = 'bank'
)
select coalesce(holds.account, told.account), coalesce(holds.currency, told.currency), coalesce(holds.minor, 0),
       coalesce(told.minor, 0)
from holds full join (
    select account, currency, sum(minor)::bigint as minor from open group by account, currency
) as told using (account, currency)
order by 1, 2

-- name: bench_items
-- So many payments of 10.00 to 14.99 that a provider is to settle, made up.
insert into core.open_items (account, currency, amount_minor, open_minor, reference, order_id, origin, document,
                             correlation_id, journal_id, business_date, due_at)
select %(account)s, 'GBP', 1000 + n %% 500, 1000 + n %% 500, 'ch_' || n, 'o' || n, 'shop', 'order',
       decode(md5(n::text), 'hex'), 'shop:order/o' || n, '2026-03-01', %(due_at)s
from generate_series(1, %(count)s) as n

-- name: sort_in_memory
-- The sets are sorted and joined in memory, as far as that goes.
set local work_mem = '192MB'
