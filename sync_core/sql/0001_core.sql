-- The sync core's state, double-entry journal, outbox and encoded spans.

create table core.inbox (
    seq            bigint generated always as identity primary key,
    source         text not null,
    event_id       text not null,
    type           text not null,
    payload_hash   bytea not null,
    partition      smallint not null,
    state          text not null default 'queued' check (state in ('queued', 'done', 'parked', 'rejected', 'dead')),
    provenance     text not null check (provenance in ('live', 'file', 'generated')),
    occurred_at    timestamptz not null,
    business_date  date not null,
    accepted_at    timestamptz not null,
    clock_offset   interval not null default interval '0',
    document       text not null default '',
    channel        text not null default '',
    currency       text not null default '',
    gross_minor    bigint not null default 0,
    tax_minor      bigint not null default 0,
    location       text not null default '',
    about          bytea,
    document_id    text not null default '',
    body           bytea not null,
    attempts       smallint not null default 0,
    not_before     timestamptz,
    waiting_for    bytea,
    reason         text not null default '',
    unique (source, event_id)
);
create index inbox_queued on core.inbox (partition, seq) where state = 'queued';
create index inbox_waiting on core.inbox (waiting_for) where state = 'parked';
create index inbox_control on core.inbox (business_date) where document <> '';

create table core.deliveries (
    source      text primary key,
    accepted    bigint not null default 0,
    duplicates  bigint not null default 0,
    conflicts   bigint not null default 0
);

-- What a source delivered in an hour, by our clock, and whether lineage has been told as it is.
create table core.delivery_hours (
    source       text not null,
    hour         timestamptz not null,
    accepted     bigint not null default 0,
    redelivered  bigint not null default 0,
    replayed     bigint not null default 0,
    tellings     int not null default 0,
    untold       boolean not null default true,
    primary key (source, hour)
);

create index delivery_hours_untold on core.delivery_hours (hour) where untold;

create table core.files (
    run            bigint generated always as identity primary key,
    connector      text not null,
    name           text not null,
    sha256         text not null,
    state          text not null default 'reading' check (state in ('reading', 'read', 'failed')),
    shift_weeks    integer not null default 0,
    generated      boolean not null default false,
    messages_read  bigint not null default 0,
    lines_read     bigint not null default 0,
    lines_total    bigint not null default 0,
    accepted       bigint not null default 0,
    duplicates     bigint not null default 0,
    conflicts      bigint not null default 0,
    error          text not null default '',
    started_at     timestamptz not null,
    finished_at    timestamptz
);
create index files_name on core.files (connector, name, run desc);

create table core.file_shifts (
    connector    text primary key,
    shift_weeks  integer not null
);

create table core.orders (
    correlation_id  bytea primary key check (octet_length(correlation_id) = 16),
    origin          text not null,
    order_id        text not null,
    channel         text not null,
    location        text not null,
    currency        text not null,
    customer_ref    text not null,
    captured_at     timestamptz not null,
    business_date   date not null,
    state           text not null check (state in ('reserved', 'backordered', 'lapsed', 'partially_shipped', 'shipped', 'cancelled')),
    amount_minor    bigint not null,
    tax_minor       bigint not null,
    open_tax_minor  bigint not null,
    paid_minor      bigint not null default 0,
    provider        text not null default '',
    totals          jsonb not null,
    contract        jsonb not null default '{}',
    edited          jsonb not null default '{}',
    provenance      text not null,
    partition       smallint not null,
    basket          bytea not null,
    tax_point       text not null,
    revenue_on      text not null,
    undelivered     jsonb not null default '{}',
    unique (origin, order_id)
);
create index orders_basket on core.orders (basket, captured_at) where basket <> '';
create index orders_backordered on core.orders (location, captured_at)
    where state in ('backordered', 'partially_shipped');
create index orders_date on core.orders (business_date);
create index orders_customer on core.orders (customer_ref) where customer_ref <> '';

create table core.order_lines (
    correlation_id     bytea not null,
    line_no            integer not null,
    sku                text not null,
    kind               text not null,
    quantity           bigint not null,
    amount_minor       bigint not null,
    unit_price_micros  bigint,
    position           bigint not null,
    reserved           bigint not null check (reserved >= 0),
    cancelled          bigint not null default 0 check (cancelled >= 0),
    returned           bigint not null default 0 check (returned >= 0),
    shipped            bigint not null default 0 check (shipped >= 0),
    edited_at          timestamptz,
    primary key (correlation_id, line_no),
    check (quantity < 0 or cancelled + greatest(shipped, returned) <= quantity)
);
comment on table core.order_lines is
    'Of a shipped order all that is not cancelled has been shipped: its lines are not written for that.';

create table core.payments (
    correlation_id  bytea not null,
    payment_id      text not null,
    provider        text not null,
    amount_minor    bigint not null,
    settled         boolean not null,
    kind            text not null,
    card            bytea not null,
    refunded_minor  bigint not null default 0 check (refunded_minor between 0 and amount_minor),
    functional_minor bigint,
    primary key (correlation_id, payment_id)
);

create table core.gift_cards (
    identity       bytea primary key check (octet_length(identity) = 16),
    origin         text not null,
    card_id        text not null,
    currency       text not null,
    balance_minor  bigint not null check (balance_minor >= 0),
    unique (origin, card_id)
);

create table core.order_steps (
    correlation_id  bytea not null,
    step            text not null,
    occurred_at     timestamptz not null,
    primary key (correlation_id, step)
);

create table core.order_deadlines (
    correlation_id  bytea not null,
    deadline        text not null check (deadline in ('acknowledgement', 'shipment_confirmation', 'payment')),
    reference       text not null,
    due_at          timestamptz not null,
    primary key (correlation_id, deadline, reference)
);
create index order_deadlines_due on core.order_deadlines (due_at);

create table core.order_documents (
    correlation_id  bytea not null,
    kind            text not null check (kind in ('shipment', 'pickup', 'pickup_shipment', 'cancellation', 'edit')),
    document_id     text not null,
    occurred_at     timestamptz not null,
    primary key (correlation_id, kind, document_id)
);

create table core.returns (
    correlation_id     bytea primary key check (octet_length(correlation_id) = 16),
    origin             text not null,
    return_id          text not null,
    channel            text not null,
    location           text not null,
    currency           text not null,
    opened_at          timestamptz not null,
    state              text not null check (state in ('requested', 'refused', 'authorised', 'expired', 'in_transit',
                                                      'received', 'inspected', 'dispositioned', 'closed')),
    "order"            bytea not null,
    customer_ref       text not null,
    approval           text not null check (approval in ('', 'automatic', 'manual')),
    approved_minor     bigint not null,
    tax_minor          bigint not null,
    released_minor     bigint not null,
    cleared_minor      bigint not null,
    cleared_tax_minor  bigint not null,
    refunded_minor     bigint not null,
    expires_at         timestamptz,
    lines              jsonb not null,
    documents          jsonb not null,
    partition          smallint not null,
    changes            integer not null,
    reason             text not null,
    check (refunded_minor + released_minor <= approved_minor),
    unique (origin, return_id)
);
create index returns_due on core.returns (expires_at) where expires_at is not null;
create index returns_customer on core.returns (customer_ref, opened_at) where customer_ref <> '';
create index returns_number on core.returns (return_id);
create index returns_open on core.returns (opened_at) where approval <> '' and state not in ('refused', 'expired', 'closed');

create table core.refunds (
    correlation_id  bytea not null,
    refund_id       text not null,
    provider        text not null,
    amount_minor    bigint not null check (amount_minor > 0),
    tax_minor       bigint not null,
    state           text not null check (state in ('instructed', 'issued', 'failed')),
    payment_id      text not null,
    kind            text not null,
    card            bytea not null,
    instructed_at   timestamptz,
    reclaimed       boolean not null,
    primary key (correlation_id, refund_id)
);
create index refunds_instructed on core.refunds (provider, instructed_at) where state = 'instructed';

create table core.return_policies (
    policy_id           text primary key,
    origin              text not null,
    channel             text not null,
    product             text not null,
    window_days         integer not null,
    return_days         integer not null,
    fee_ppm             integer not null,
    refund_after        text not null,
    approval            text not null,
    most_returns        integer not null,
    within_days         integer not null,
    review_above_minor  bigint not null,
    set_at              timestamptz not null
);

create table core.return_reasons (
    origin  text not null,
    code    text not null,
    reason  text not null,
    set_at  timestamptz not null,
    primary key (origin, code)
);

create table core.credit_pieces (
    correlation_id        bytea not null,
    line_no               integer not null,
    piece_no              integer not null,
    order_correlation_id  bytea not null,
    order_line_no         integer not null,
    sku                   text not null,
    quantity              bigint not null check (quantity > 0),
    amount_minor          bigint not null,
    outcome               text not null check (outcome in ('cancelled', 'returned')),
    primary key (correlation_id, line_no, piece_no)
);
create index credit_pieces_order on core.credit_pieces (order_correlation_id);

create table core.stock (
    sku              text not null,
    location         text not null,
    good             bigint not null default 0,
    damaged          bigint not null default 0,
    return_pending   bigint not null default 0,
    quarantine       bigint not null default 0,
    refurbish        bigint not null default 0,
    reserved         bigint not null default 0 check (reserved >= 0),
    committed        bigint not null default 0 check (committed >= 0),
    in_transit       bigint not null default 0 check (in_transit >= 0),
    opening          bigint not null default 0,
    unit_cost_minor  bigint,
    currency         text not null default '',
    oversold         bigint not null default 0,
    oversold_exception text not null default '',
    primary key (sku, location)
) with (fillfactor = 50);

create table core.movements (
    movement_id     bigint generated by default as identity primary key,
    business_key    text not null,
    kind            text not null,
    location        text not null,
    correlation_id  bytea not null,
    occurred_at     timestamptz not null,
    provenance      text not null,
    line_count      integer not null,
    units           bigint not null,
    unique (business_key, kind, location)
);

create index movements_location on core.movements (location, occurred_at);

create table core.movement_lines (
    movement_id  bigint not null,
    sku          text not null,
    quantity     bigint not null,
    primary key (movement_id, sku)
);

create table core.counts (
    channel   text not null,
    location  text not null,
    day       date not null,
    lines     bigint not null,
    equal     bigint not null,
    accurate  bigint not null,
    primary key (channel, location, day)
);

create table core.repairs (
    document_id  text not null,
    sku          text not null,
    location     text not null,
    repaired_at  timestamptz not null,
    by_whom      text not null,
    reason       text not null,
    before       jsonb not null,
    after        jsonb not null,
    primary key (document_id, sku, location)
);

create table core.transfers (
    correlation_id   bytea primary key check (octet_length(correlation_id) = 16),
    origin           text not null,
    transfer_id      text not null,
    from_location    text not null,
    to_location      text not null,
    currency         text not null,
    state            text not null check (state in ('requested', 'shipped', 'received', 'cancelled')),
    requested_at     timestamptz not null,
    variance_due_at  timestamptz,
    lines            jsonb not null
);
create index transfers_variance on core.transfers (variance_due_at) where variance_due_at is not null;

create table core.locations (
    location      text primary key,
    identity      bytea not null unique,
    kind          text not null,
    stock_source  text not null,
    cost_source   text not null,
    near          text[] not null,
    goods_to_erp  boolean not null
);

create table core.location_names (
    system    text not null,
    name      text not null,
    location  text not null references core.locations,
    primary key (system, name)
);
create index location_names_of on core.location_names (location);

create table core.tax_codes (
    origin      text not null,
    tax_code    text not null,
    valid_from  timestamptz not null,
    rate_ppm    integer not null,
    name        text not null,
    identity    bytea not null,
    primary key (origin, tax_code, valid_from)
);
create index tax_codes_identity on core.tax_codes (identity);

create table core.products (
    origin         text not null,
    sku            text not null,
    name           text not null,
    unit           text not null,
    tax_code       text not null,
    parent         text not null,
    replaces       text not null,
    registered_at  timestamptz not null,
    primary key (origin, sku)
);
create index products_parent on core.products (origin, parent) where parent <> '';

create table core.product_numbers (
    origin    text not null,
    number    text not null,
    sku       text not null,
    identity  bytea not null unique,
    primary key (origin, number)
);

create table core.customers (
    origin       text not null,
    customer_id  text not null,
    segment      text not null,
    closed       boolean not null,
    merged_into  text not null,
    updated_at   timestamptz not null,
    identity     bytea not null unique,
    primary key (origin, customer_id)
);
create index customers_merged on core.customers (origin, merged_into) where merged_into <> '';
create index customers_number on core.customers (customer_id);

create table core.customer_accounts (
    account_id   text not null,
    system       text not null,
    origin       text not null,
    customer_id  text not null,
    primary key (account_id, system),
    foreign key (origin, customer_id) references core.customers
);
create index customer_accounts_of on core.customer_accounts (origin, customer_id);

create table core.channels (
    channel    text primary key,
    origin     text not null,
    locations  text[] not null,
    identity   bytea not null unique,
    live       boolean not null default false
);

create table core.endpoints (
    channel              text primary key,
    url                  text not null,
    by_location          boolean not null,
    batch                integer not null,
    requests_per_second  double precision not null,
    priority             integer not null,
    not_before           timestamptz not null,
    sequence             bigint not null default 0,
    failures             integer not null default 0,
    refusals             integer not null default 0,
    reason               text not null default '',
    acknowledged_at      timestamptz,
    down_exception       text not null default ''
);

create table core.publications (
    channel        text not null,
    sku            text not null,
    location       text not null,
    version        bigint not null default 1,
    waiting_since  timestamptz,
    moved_at       timestamptz,
    as_of          timestamptz not null,
    sellable       bigint check (sellable >= 0),
    sequence       bigint not null default 0,
    set_aside      boolean not null default false,
    refusal        text not null default '',
    primary key (channel, sku, location)
) with (fillfactor = 70);
create index publications_waiting on core.publications (channel, waiting_since)
    where waiting_since is not null and not set_aside;
create index publications_behind on core.publications (channel, location, moved_at) where moved_at is not null;

create table core.channel_terms (
    channel                   text primary key,
    acknowledge_seconds       integer not null,
    confirm_shipment_seconds  integer not null,
    reservation_seconds       integer not null,
    duplicate_seconds         integer not null,
    sales_orders              boolean not null,
    set_at                    timestamptz not null
);

create table core.stock_rules (
    rule_id   text primary key,
    kind      text not null,
    sku       text not null,
    location  text not null,
    channel   text not null,
    quantity  bigint not null,
    percent   integer not null,
    priority  integer not null,
    target    bigint not null,
    set_at    timestamptz not null
);
create index stock_rules_about on core.stock_rules (kind, sku);

create table core.signals (
    sku           text not null,
    location      text not null,
    units         bigint not null check (units >= 0),
    below         boolean not null,
    raised_at     timestamptz,
    exception_id  text not null,
    primary key (sku, location)
);

create table core.journals (
    journal_id      text primary key,
    correlation_id  bytea not null,
    document        text not null,
    entity_id       text not null,
    occurred_at     timestamptz not null,
    business_date   date not null,
    channel         text not null,
    location        text not null,
    currency        text not null,
    rule_version    text not null,
    event_source    text not null,
    event_id        text not null,
    provenance      text not null,
    clock_offset    interval not null,
    due_at          timestamptz not null,
    legal_entity    text not null,
    functional_currency text not null,
    original_date   date
);
create index journals_correlation on core.journals (correlation_id);
create index journals_date on core.journals (business_date);
create index journals_original_date on core.journals (original_date) where original_date is not null;

create table core.journal_lines (
    journal_id      text not null references core.journals,
    line_no         smallint not null,
    account         text not null,
    amount_minor    bigint not null,
    kind            text not null default '',
    quantity        bigint not null default 0,
    line_count      integer not null default 0,
    pieces          integer not null default 0,
    residue_micros  bigint not null default 0,
    source          text not null check (source in ('live', 'file', 'generated')),
    related         bytea,
    reference       text not null default '',
    functional_minor bigint not null,
    primary key (journal_id, line_no)
);

create table core.rates (
    identity       bytea not null,
    currency       text not null,
    into_currency  text not null,
    valid_from     date not null,
    rate_ppm       bigint not null check (rate_ppm > 0),
    primary key (currency, into_currency, valid_from)
);
create index rates_identity on core.rates (identity);

create table core.periods (
    legal_entity  text not null,
    period        text not null,
    starts        date not null,
    ends          date not null,
    state         text not null check (state in ('open', 'closing', 'closed')),
    closed_at     timestamptz,
    primary key (legal_entity, period)
);

create table core.summary_journals (
    journal_id     text primary key references core.journals,
    legal_entity   text not null,
    location       text not null,
    business_date  date not null,
    currency       text not null,
    summary_id     text
);
create index summary_journals_due on core.summary_journals (business_date) where summary_id is null;
create index summary_journals_of on core.summary_journals (summary_id) where summary_id is not null;

-- Months that are over and in which a legal entity has entries.
create table core.period_ends (
    legal_entity  text not null,
    period        text not null,
    primary key (legal_entity, period)
);

create table core.period_actions (
    number        bigint generated always as identity primary key,
    legal_entity  text not null,
    period        text not null,
    at            timestamptz not null,
    by_whom       text not null,
    action        text not null check (action in ('begin', 'close', 'reopen')),
    reason        text not null,
    open_points   jsonb not null
);

create function core.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the journal is append-only: correct it with a new, dated entry';
end $$;
create function core.refuse_closed() returns trigger language plpgsql as $$
begin
    if exists (select from new_journals join core.periods
               on periods.legal_entity = new_journals.legal_entity and business_date between starts and ends
               where state = 'closed') then
        raise exception 'a closed period takes no entry';
    end if;
    return null;
end $$;
create trigger journals_closed after insert on core.journals referencing new table as new_journals
    for each statement execute function core.refuse_closed();
create trigger journals_append_only before update or delete or truncate on core.journals
    for each statement execute function core.refuse_change();
create trigger journal_lines_append_only before update or delete or truncate on core.journal_lines
    for each statement execute function core.refuse_change();

create table core.erp_documents (
    document_id     text primary key,
    kind            text not null check (kind in ('journal', 'sales_order', 'sales_order_amendment', 'sales_order_cancellation',
                                                   'goods_movement')),
    state           text not null default 'waiting'
                    check (state in ('waiting', 'accepted', 'rejected', 'dead', 'compensated', 'withdrawn')),
    erp             text not null,
    legal_entity    text not null,
    lane            smallint not null,
    correlation_id  bytea not null,
    origin          text not null,
    document        text not null,
    entity_id       text not null,
    business_date   date not null,
    channel         text not null,
    location        text not null,
    currency        text not null,
    worth_minor     bigint not null,
    event_source    text not null,
    event_id        text not null,
    provenance      text not null,
    clock_offset    interval not null,
    due_at          timestamptz not null,
    body            bytea,
    attempts        smallint not null default 0,
    not_before      timestamptz not null,
    queued_at       timestamptz not null,
    accepted_at     timestamptz,
    erp_document    text not null default '',
    reason          text not null default '',
    compared_at     timestamptz,
    difference      text not null default '',
    differs_minor   bigint not null default 0
);
create index erp_documents_date on core.erp_documents (business_date);
create index erp_documents_waiting on core.erp_documents (erp, lane, queued_at, document_id) where state = 'waiting';
create index erp_documents_unread on core.erp_documents (queued_at)
    where state = 'accepted' and compared_at is null and kind = 'journal';

create table core.exceptions (
    exception_id    text primary key,
    kind            text not null,
    severity        text not null check (severity in ('critical', 'major', 'minor')),
    correlation_id  bytea not null,
    entity          text not null,
    entity_id       text not null,
    owner           text not null,
    amount_minor    bigint not null,
    currency        text not null,
    detail          text not null,
    opened_at       timestamptz not null,
    state           text not null default 'open' check (state in ('open', 'resolved')),
    resolved_at     timestamptz,
    resolution      text not null default '',
    cause_source    text not null,
    cause_event_id  text not null,
    assignee        text not null default '',
    replays         integer not null default 0
);
create index exceptions_open on core.exceptions (owner, opened_at) where state = 'open';
create index exceptions_open_of on core.exceptions (correlation_id) where state = 'open';

create table core.exception_actions (
    number        bigint generated always as identity primary key,
    exception_id  text not null references core.exceptions,
    at            timestamptz not null,
    by_whom       text not null,
    action        text not null check (action in ('assign', 'resolve', 'replay', 'compensate')),
    reason        text not null,
    to_whom       text not null
);
create index exception_actions_of on core.exception_actions (exception_id, number);

create table core.mappings (
    name    text primary key,
    body    text not null,
    set_at  timestamptz not null
);

create table core.settlements (
    settlement      bigint generated by default as identity primary key,
    origin          text not null,
    settlement_id   text not null,
    version         integer not null,
    kind            text not null check (kind in ('processor', 'bank')),
    currency        text not null,
    payout_id       text not null,
    business_date   date not null,
    correlation_id  bytea not null check (octet_length(correlation_id) = 16),
    digest          bytea not null,
    file            text not null,
    lines           integer not null,
    received_at     timestamptz not null,
    clock_offset    interval not null default '0',
    state           text not null default 'received' check (state in ('received', 'posted', 'matched', 'superseded')),
    told_through    bigint not null default 0,
    unique (origin, settlement_id, version)
);
create index settlements_open on core.settlements (settlement) where state in ('received', 'posted');

create table core.settlement_lines (
    line_id        bigint generated by default as identity primary key,
    settlement     bigint not null,
    position       integer not null,
    kind           text not null,
    fee_type       text not null,
    account        text not null,
    currency       text not null,
    amount_minor   bigint not null,
    open_minor     bigint not null,
    reference      text not null,
    alternate      text not null,
    order_id       text not null,
    business_date  date not null,
    exception_id   text not null default '',
    check (open_minor between least(0, amount_minor) and greatest(0, amount_minor))
);
create index settlement_lines_of on core.settlement_lines (settlement, line_id);
create index settlement_lines_open on core.settlement_lines (account, settlement) where open_minor <> 0;

create index settlement_lines_fee on core.settlement_lines (account, reference)
    where kind in ('fee', 'commission', 'fulfilment_fee') and reference <> '';
create index settlement_lines_disputed on core.settlement_lines (exception_id)
    where kind = 'chargeback' and exception_id <> '';

create table core.open_items (
    item_id         bigint generated by default as identity primary key,
    account         text not null,
    currency        text not null,
    amount_minor    bigint not null,
    open_minor      bigint not null,
    reference       text not null,
    order_id        text not null,
    origin          text not null,
    document        text not null,
    correlation_id  bytea not null,
    journal_id      text not null,
    business_date   date not null,
    due_at          timestamptz not null,
    exception_id    text not null default '',
    corrected       boolean not null default false,
    check (corrected or open_minor between least(0, amount_minor) and greatest(0, amount_minor))
) with (fillfactor = 50);
create index open_items_reference on core.open_items (reference, account) where reference <> '';
create index open_items_order on core.open_items (order_id, account);
create index open_items_due on core.open_items (due_at);
create index open_items_undated on core.open_items (account, business_date)
    where due_at = '9999-01-01 00:00:00+00' and exception_id = '';
create index open_items_date on core.open_items (business_date);

create table core.matches (
    match_id          bigint generated by default as identity primary key,
    line_id           bigint,
    item_id           bigint,
    amount_minor      bigint not null,
    difference_minor  bigint not null default 0,
    rule              text not null,
    rule_version      text not null,
    by_whom           text not null default '',
    reason            text not null default '',
    at                timestamptz not null,
    undone_at         timestamptz
);
create index matches_line on core.matches (line_id);
create index matches_decided on core.matches (item_id) where difference_minor <> 0 or by_whom <> '';

create table core.matching (
    told_through  bigint not null,
    due_through   timestamptz not null
);
insert into core.matching (told_through, due_through) values (0, '-infinity');

create table core.parked_items (
    correlation_id  bytea not null,
    entity_id       text not null,
    line_no         integer not null,
    sku             text not null,
    quantity        bigint not null,
    amount_minor    bigint not null,
    currency        text not null,
    reason          text not null,
    whole_line      boolean not null,
    owner           text not null,
    channel         text not null,
    business_date   date not null,
    parked_at       timestamptz not null,
    source          text not null,
    document        text not null,
    state           text not null default 'open' check (state in ('open', 'matched', 'written_off')),
    primary key (correlation_id, entity_id, line_no)
);
create index parked_items_date on core.parked_items (business_date) where state = 'open';

create table core.subscriptions (
    feed          text not null,
    channel       text not null,
    location      text not null,
    heard_at      timestamptz not null,
    silent        boolean not null default false,
    source_at     timestamptz,
    published_at  timestamptz,
    clock_offset  interval not null default interval '0',
    primary key (feed, channel, location)
);

create table core.control_totals (
    origin         text not null,
    kind           text not null check (kind in ('order_list', 'pos_z', 'provider_day')),
    business_date  date not null,
    channel        text not null,
    provider       text not null,
    location       text not null,
    currency       text not null,
    document_id    text not null,
    stated_at      timestamptz not null,
    count          bigint not null,
    amount_minor   bigint not null,
    tax_minor      bigint not null,
    documents      jsonb not null,
    primary key (business_date, origin, kind, channel, provider, location, currency)
);

create table core.touched_days (
    business_date  date not null
);

create table core.stale_days (
    business_date  date primary key
);

create function core.touch_days() returns trigger language plpgsql as $$
begin
    insert into core.touched_days (business_date) select distinct business_date from changed;
    return null;
end $$;
create trigger open_items_inserted after insert on core.open_items referencing new table as changed
    for each statement execute function core.touch_days();
create trigger open_items_changed after update on core.open_items referencing new table as changed
    for each statement execute function core.touch_days();
create trigger settlement_lines_changed after update on core.settlement_lines referencing new table as changed
    for each statement execute function core.touch_days();
create trigger settlements_changed after update on core.settlements referencing new table as changed
    for each statement execute function core.touch_days();

create trigger erp_documents_changed after update on core.erp_documents referencing new table as changed
    for each statement execute function core.touch_days();

create table core.reconciled (
    level              text not null,
    business_date      date not null,
    runs               integer not null,
    digest             bytea not null,
    unexplained_minor  bigint not null,
    at                 timestamptz not null,
    primary key (level, business_date)
);

create table core.channel_days (
    channel        text not null references core.channels,
    business_date  date not null,
    broken         boolean not null,
    primary key (channel, business_date)
);

create table core.findings (
    exception_id    text primary key,
    level           text not null,
    business_date   date not null,
    correlation_id  bytea not null,
    origin          text not null
);
create index findings_date on core.findings (business_date);

create table core.span_batches (
    batch       bigint generated always as identity primary key,
    span_ids    bytea not null,
    created_at  timestamptz not null
);

create table core.span_outbox (
    batch       bigint primary key references core.span_batches,
    body        bytea not null,
    size_bytes  integer not null,
    created_at  timestamptz not null
);
alter table core.span_outbox alter column body set storage external;
