-- Where every rule stands, what was opened, what is told together, who is told, what is hidden, and which runs took place.

create table alerts.state (
    rule           text not null,
    grp            text not null,
    place          jsonb not null,
    phase          text not null check (phase in ('inactive', 'pending', 'firing', 'resolved')),
    since          timestamptz,
    true_at        timestamptz,
    alert_id       text not null,
    owner          text not null,
    severity       text not null,
    overdue_open   integer not null,
    at_risk        jsonb not null,
    oldest_due_at  timestamptz,
    measured_at    timestamptz,
    primary key (rule, grp)
);

-- What one person should be told as one thing: its ID is the dedup key of every message about it.
create table alerts.incident (
    incident_id             text primary key,
    group_key               text not null,
    owner                   text not null,
    told_owner              text not null,
    severity                text not null,
    opened_at               timestamptz not null,
    next_at                 timestamptz,
    escalation              text not null,
    group_wait_seconds      double precision not null,
    group_interval_seconds  double precision not null,
    paged_at                timestamptz,
    last_told_at            timestamptz,
    resolved_at             timestamptz,
    acknowledged_at         timestamptz,
    acknowledged_by         text not null,
    note                    text not null,
    remind_at               timestamptz,
    step                    integer not null,
    notices                 integer not null,
    inhibited_at            timestamptz,
    standing                text not null
);
create unique index incident_open on alerts.incident (group_key) where resolved_at is null;

create table alerts.alert (
    alert_id         text primary key,
    rule             text not null,
    sla              text not null,
    domain           text not null,
    level            text not null,
    channel          text not null,
    location         text not null,
    provider         text not null,
    subject          text not null,
    owner            text not null,
    told             text not null,
    told_because     text not null,
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
    resolved_reason  text not null default '',
    incident_id      text not null default '',
    hidden           text not null default '',
    announced        boolean not null default false
);
create index alert_open on alerts.alert (opened_at) where resolved_at is null;
create index alert_resolved on alerts.alert (resolved_at desc) where resolved_at is not null;
create index alert_incident on alerts.alert (incident_id);

-- The outbox of messages to people; written with the state, sent afterwards until it arrives.
create table alerts.delivery (
    delivery_id   bigint generated always as identity primary key,
    dedup_key     text not null,
    transition    text not null,
    ordinal       integer not null,
    contact       text not null,
    priority      smallint not null,
    body          text not null,
    state         text not null default 'waiting'
                  check (state in ('waiting', 'delivered', 'refused', 'abandoned', 'overtaken')),
    attempts      integer not null default 0,
    created_at    timestamptz not null,
    not_before    timestamptz not null,
    delivered_at  timestamptz,
    status_code   integer,
    error         text not null default '',
    unique (dedup_key, ordinal, contact)
);
create index delivery_waiting on alerts.delivery (not_before) where state = 'waiting';
create index delivery_sent on alerts.delivery (contact, delivered_at) where state = 'delivered';

create table alerts.silence (
    silence_id  bigint generated always as identity primary key,
    kind        text not null check (kind in ('silence', 'maintenance')),
    match       jsonb not null,
    starts_at   timestamptz not null,
    ends_at     timestamptz not null check (ends_at >= starts_at),
    author      text not null,
    reason      text not null,
    created_at  timestamptz not null
);

-- Which alert was kept from being told by which silence, so that it can say how many it hid.
create table alerts.hidden_by (
    silence_id  bigint not null references alerts.silence,
    alert_id    text not null,
    primary key (silence_id, alert_id)
);

-- The newest run of each rule; ``judged_at`` is of the last that did not fail.
create table alerts.last_run (
    rule         text primary key,
    due_at       timestamptz not null,
    started_at   timestamptz not null,
    finished_at  timestamptz not null,
    outcome      text not null check (outcome in ('ok', 'no_data', 'failed')),
    watermark    timestamptz,
    reason       text not null,
    judged_at    timestamptz
);

-- The ledger of what was not judged, and why.
create table alerts.rule_run (
    rule         text not null,
    due_at       timestamptz not null,
    started_at   timestamptz not null,
    finished_at  timestamptz not null,
    outcome      text not null check (outcome in ('failed', 'missed')),
    watermark    timestamptz,
    reason       text not null default '',
    primary key (rule, due_at, outcome)
);
create index rule_run_due on alerts.rule_run (due_at);
