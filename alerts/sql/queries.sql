-- name: prepare_schema
-- The schema and the list of migrations that it has had.
create schema if not exists alerts;
create table if not exists alerts.migration (number integer primary key, name text not null, applied_at timestamptz not null default now());

-- name: lock_migrations
-- Only one process migrates at a time.
select pg_advisory_xact_lock(7205030201);

-- name: applied_migrations
-- Numbers of the migrations that were applied.
select number from alerts.migration;

-- name: record_migration
-- A migration was applied.
insert into alerts.migration (number, name) values (%(number)s, %(name)s);

-- name: try_lock_evaluation
-- True for the one evaluator that may judge now; freed at the end of the transaction.
select pg_try_advisory_xact_lock(7205030202) as locked;

-- name: states
-- Where a rule stands for each channel.
select rule, grp as "group", phase, since, true_at, alert_id, overdue_open, at_risk, oldest_due_at, measured_at
from alerts.state where rule = %(rule)s;

-- name: save_state
-- Where a rule stands now for one channel.
insert into alerts.state (rule, grp, phase, since, true_at, alert_id, overdue_open, at_risk, oldest_due_at, measured_at)
values (%(rule)s, %(group)s, %(phase)s, %(since)s, %(true_at)s, %(alert_id)s, %(overdue_open)s, %(at_risk)s, %(oldest_due_at)s, %(measured_at)s)
on conflict (rule, grp) do update set
    phase = excluded.phase, since = excluded.since, true_at = excluded.true_at, alert_id = excluded.alert_id,
    overdue_open = excluded.overdue_open, at_risk = excluded.at_risk, oldest_due_at = excluded.oldest_due_at,
    measured_at = excluded.measured_at;

-- name: open_alert
-- A rule begins to fire.
insert into alerts.alert (alert_id, rule, sla, channel, owner, told, severity, summary, reason, next_step, link, overdue_open, at_risk, oldest_due_at, opened_at)
values (%(alert_id)s, %(rule)s, %(sla)s, %(channel)s, %(owner)s, %(told)s, %(severity)s, %(summary)s, %(reason)s, %(next_step)s, %(link)s, %(overdue_open)s, %(at_risk)s, %(oldest_due_at)s, %(opened_at)s);

-- name: refresh_alert
-- What is at stake now in an alert that is still open.
update alerts.alert set overdue_open = %(overdue_open)s, at_risk = %(at_risk)s, oldest_due_at = %(oldest_due_at)s
where alert_id = %(alert_id)s and resolved_at is null;

-- name: resolve_alert
-- The condition of an alert is over.
update alerts.alert set resolved_at = %(resolved_at)s, resolved_reason = %(reason)s where alert_id = %(alert_id)s;

-- name: add_delivery
-- A message to one contact, to be sent after this transaction.
insert into alerts.delivery (dedup_key, transition, contact, body, created_at, not_before)
values (%(dedup_key)s, %(transition)s, %(contact)s, %(body)s, %(now)s, %(now)s);

-- name: record_run
-- A rule was evaluated at an instant; runs older than a week are dropped.
with dropped as (delete from alerts.rule_run where due_at < %(due_at)s - interval '7 days')
insert into alerts.rule_run (rule, due_at, started_at, finished_at, outcome, watermark, reason)
values (%(rule)s, %(due_at)s, %(started_at)s, %(finished_at)s, %(outcome)s, %(watermark)s, %(reason)s)
on conflict (rule, due_at) do nothing;

-- name: claim_deliveries
-- Messages that may go out now, taken until the lease ends; a resolve waits for its page.
update alerts.delivery set attempts = attempts + 1, not_before = %(lease_until)s
where delivery_id in (
    select delivery_id from alerts.delivery as due
    where due.state = 'waiting' and due.not_before <= %(now)s and due.contact = any(%(contacts)s)
      and not exists (
          select from alerts.delivery as earlier
          where earlier.dedup_key = due.dedup_key and earlier.contact = due.contact
            and earlier.delivery_id < due.delivery_id and earlier.state = 'waiting')
    order by due.delivery_id limit %(limit)s
    for update skip locked)
returning delivery_id, dedup_key, transition, contact, body, attempts, created_at;

-- name: settle_delivery
-- What became of an attempt to send a message.
update alerts.delivery set
    state = %(state)s, not_before = %(not_before)s, delivered_at = %(delivered_at)s,
    status_code = %(status_code)s, error = %(error)s
where delivery_id = %(delivery_id)s and state = 'waiting';

-- name: put_back_deliveries
-- Messages that were taken but not tried, because their receiver did not answer another one.
update alerts.delivery set attempts = attempts - 1, not_before = %(not_before)s
where delivery_id = any(%(delivery_ids)s) and state = 'waiting';

-- name: open_alerts
-- Alerts that are open, newest first.
select alert_id, rule, sla, channel, owner, told, severity, summary, reason, next_step, link, overdue_open, at_risk,
       oldest_due_at, opened_at, resolved_at, resolved_reason
from alerts.alert where resolved_at is null order by opened_at desc, alert_id limit %(limit)s;

-- name: resolved_alerts
-- Alerts that were resolved, newest first.
select alert_id, rule, sla, channel, owner, told, severity, summary, reason, next_step, link, overdue_open, at_risk,
       oldest_due_at, opened_at, resolved_at, resolved_reason
from alerts.alert where resolved_at is not null order by resolved_at desc, alert_id limit %(limit)s;

-- name: one_alert
-- The alert of this name.
select alert_id, rule, sla, channel, owner, told, severity, summary, reason, next_step, link, overdue_open, at_risk,
       oldest_due_at, opened_at, resolved_at, resolved_reason
from alerts.alert where alert_id = %(alert_id)s;

-- name: deliveries_of
-- Who was told of these alerts, when, and whether it arrived.
select dedup_key, transition, contact, state, attempts, created_at, not_before, delivered_at, status_code, error
from alerts.delivery where dedup_key = any(%(alert_ids)s) order by delivery_id;

-- name: last_runs
-- The newest run of each rule.
select distinct on (rule) rule, due_at, started_at, finished_at, outcome, watermark, reason
from alerts.rule_run order by rule, due_at desc;
