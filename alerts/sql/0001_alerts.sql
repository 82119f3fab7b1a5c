-- Where every rule stands, what was opened, who is told, and which runs took place.

create table alerts.state (
    rule           text not null,
    grp            text not null,
    phase          text not null check (phase in ('inactive', 'pending', 'firing', 'resolved')),
    since          timestamptz,
    true_at        timestamptz,
    alert_id       text not null,
    overdue_open   integer not null,
    at_risk        jsonb not null,
    oldest_due_at  timestamptz,
    measured_at    timestamptz,
    primary key (rule, grp)
);

create table alerts.alert (
    alert_id         text primary key,
    rule             text not null,
    sla              text not null,
    channel          text not null,
    owner            text not null,
    told             text not null,
    severity         text not null,
    summary          text not null,
    reason           text not null,
    next_step        text not null,
    link             text not null,
    overdue_open     integer not null,
    at_risk          jsonb not null,
    oldest_due_at    timestamptz,
    opened_at        timestamptz not null,
    resolved_at      timestamptz,
    resolved_reason  text not null default ''
);
create index alert_open on alerts.alert (opened_at) where resolved_at is null;
create index alert_resolved on alerts.alert (resolved_at desc) where resolved_at is not null;

-- The outbox of messages to people; written with the state, sent afterwards until it arrives.
create table alerts.delivery (
    delivery_id   bigint generated always as identity primary key,
    dedup_key     text not null references alerts.alert (alert_id),
    transition    text not null check (transition in ('page', 'resolve')),
    contact       text not null,
    body          text not null,
    state         text not null default 'waiting' check (state in ('waiting', 'delivered', 'refused', 'abandoned')),
    attempts      integer not null default 0,
    created_at    timestamptz not null,
    not_before    timestamptz not null,
    delivered_at  timestamptz,
    status_code   integer,
    error         text not null default '',
    unique (dedup_key, transition, contact)
);
create index delivery_waiting on alerts.delivery (not_before) where state = 'waiting';

create table alerts.rule_run (
    rule         text not null,
    due_at       timestamptz not null,
    started_at   timestamptz not null,
    finished_at  timestamptz not null,
    outcome      text not null check (outcome in ('ok', 'no_data', 'failed')),
    watermark    timestamptz,
    reason       text not null default '',
    primary key (rule, due_at)
);
create index rule_run_due on alerts.rule_run (due_at);
