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
-- Where every rule stands for each place.
select rule, grp as "group", place, phase, since, true_at, alert_id, owner, severity, overdue_open, at_risk, oldest_due_at, measured_at
from alerts.state;

-- name: save_state
-- Where a rule stands now for one place.
insert into alerts.state (rule, grp, place, phase, since, true_at, alert_id, owner, severity, overdue_open, at_risk, oldest_due_at, measured_at)
values (%(rule)s, %(group)s, %(place)s, %(phase)s, %(since)s, %(true_at)s, %(alert_id)s, %(owner)s, %(severity)s, %(overdue_open)s, %(at_risk)s, %(oldest_due_at)s, %(measured_at)s)
on conflict (rule, grp) do update set
    place = excluded.place, phase = excluded.phase, since = excluded.since, true_at = excluded.true_at,
    alert_id = excluded.alert_id, owner = excluded.owner, severity = excluded.severity,
    overdue_open = excluded.overdue_open, at_risk = excluded.at_risk, oldest_due_at = excluded.oldest_due_at,
    measured_at = excluded.measured_at;

-- name: open_alert
-- A rule begins to fire.
insert into alerts.alert (alert_id, rule, sla, domain, level, channel, location, provider, subject, owner, told, told_because, severity, summary,
       reason, next_step, link, overdue_open, at_risk, oldest_due_at, opened_at, resolved_at, resolved_reason, incident_id, hidden,
       announced)
values (%(alert_id)s, %(rule)s, %(sla)s, %(domain)s, %(level)s, %(channel)s, %(location)s, %(provider)s, %(subject)s, %(owner)s, %(told)s, %(told_because)s, %(severity)s, %(summary)s, %(reason)s, %(next_step)s, %(link)s, %(overdue_open)s, %(at_risk)s, %(oldest_due_at)s, %(opened_at)s, %(resolved_at)s, %(resolved_reason)s, %(incident_id)s, %(hidden)s, %(announced)s);

-- name: refresh_alert
-- What is at stake now in an alert that is still open.
update alerts.alert set overdue_open = %(overdue_open)s, at_risk = %(at_risk)s, oldest_due_at = %(oldest_due_at)s
where alert_id = %(alert_id)s and resolved_at is null;

-- name: resolve_alert
-- The condition of an alert is over.
update alerts.alert set resolved_at = %(resolved_at)s, resolved_reason = %(reason)s where alert_id = %(alert_id)s;

-- name: alerts_of_open_incidents
-- Every alert of which something may still be told.
select alert_id, rule, sla, domain, level, channel, location, provider, subject, owner, told, told_because, severity, summary,
       reason, next_step, link, overdue_open, at_risk, oldest_due_at, opened_at, resolved_at, resolved_reason, incident_id, hidden,
       announced
from alerts.alert as one
where one.severity <> 'record'
  and (one.resolved_at is null
       or exists (select from alerts.incident where incident.incident_id = one.incident_id and incident.resolved_at is null))
order by one.opened_at, one.alert_id;

-- name: mark_alerts
-- What became of alerts when it was decided what to tell.
update alerts.alert set incident_id = new.incident_id, hidden = new.hidden, announced = new.announced
from unnest(%(alert_id)s::text[], %(incident_id)s::text[], %(hidden)s::text[], %(announced)s::boolean[])
    as new (alert_id, incident_id, hidden, announced)
where alert.alert_id = new.alert_id;

-- name: open_incidents
-- Incidents of which something still fires, or was not yet told to be over.
select incident_id, group_key, owner, told_owner, severity, opened_at, next_at, escalation, group_wait_seconds, group_interval_seconds, paged_at,
       last_told_at, resolved_at, acknowledged_at, acknowledged_by, note, remind_at, step, notices, inhibited_at, standing
from alerts.incident where resolved_at is null;

-- name: incidents_of
-- The incidents of these names.
select incident_id, group_key, owner, told_owner, severity, opened_at, next_at, escalation, group_wait_seconds, group_interval_seconds, paged_at,
       last_told_at, resolved_at, acknowledged_at, acknowledged_by, note, remind_at, step, notices, inhibited_at, standing
from alerts.incident where incident_id = any(%(incident_ids)s);

-- name: lock_incident
-- An incident that somebody does something about.
select incident_id, group_key, owner, told_owner, severity, opened_at, next_at, escalation, group_wait_seconds, group_interval_seconds, paged_at,
       last_told_at, resolved_at, acknowledged_at, acknowledged_by, note, remind_at, step, notices, inhibited_at, standing
from alerts.incident where incident_id = %(incident_id)s for update;

-- name: save_incident
-- How an incident stands now.
insert into alerts.incident (incident_id, group_key, owner, told_owner, severity, opened_at, next_at, escalation, group_wait_seconds, group_interval_seconds, paged_at,
       last_told_at, resolved_at, acknowledged_at, acknowledged_by, note, remind_at, step, notices, inhibited_at, standing)
values (%(incident_id)s, %(group_key)s, %(owner)s, %(told_owner)s, %(severity)s, %(opened_at)s, %(next_at)s, %(escalation)s, %(group_wait_seconds)s, %(group_interval_seconds)s, %(paged_at)s, %(last_told_at)s, %(resolved_at)s, %(acknowledged_at)s, %(acknowledged_by)s, %(note)s, %(remind_at)s, %(step)s, %(notices)s, %(inhibited_at)s, %(standing)s)
on conflict (incident_id) do update set
    severity = excluded.severity, opened_at = excluded.opened_at, next_at = excluded.next_at, escalation = excluded.escalation, group_wait_seconds = excluded.group_wait_seconds,
    group_interval_seconds = excluded.group_interval_seconds, paged_at = excluded.paged_at, last_told_at = excluded.last_told_at, resolved_at = excluded.resolved_at, acknowledged_at = excluded.acknowledged_at, acknowledged_by = excluded.acknowledged_by, note = excluded.note, remind_at = excluded.remind_at, step = excluded.step, notices = excluded.notices, inhibited_at = excluded.inhibited_at, standing = excluded.standing;

-- name: told_contacts
-- Who has a message about an incident, or will have it.
select distinct contact from alerts.delivery where dedup_key = %(dedup_key)s and transition <> 'heartbeat' order by contact;

-- name: add_delivery
-- A message to one contact, to be sent after this transaction.
insert into alerts.delivery (dedup_key, transition, ordinal, contact, priority, body, created_at, not_before)
values (%(dedup_key)s, %(transition)s, %(ordinal)s, %(contact)s, %(priority)s, %(body)s, %(now)s, %(not_before)s);

-- name: overtake_heartbeats
-- A heartbeat that has not been sent when the next one comes says nothing any more.
update alerts.delivery set state = 'overtaken' where transition = 'heartbeat' and state = 'waiting';

-- name: drop_heartbeats
-- Heartbeats of more than a day ago.
delete from alerts.delivery where transition = 'heartbeat' and created_at < %(now)s - interval '1 day';

-- name: record_last_runs
-- Rules were judged, or could not be.
insert into alerts.last_run (rule, due_at, started_at, finished_at, outcome, watermark, reason, judged_at)
select rule, due_at, started_at, finished_at, outcome, watermark, reason, case when outcome <> 'failed' then finished_at end
from unnest(%(rule)s::text[], %(due_at)s::timestamptz[], %(started_at)s::timestamptz[], %(finished_at)s::timestamptz[],
            %(outcome)s::text[], %(watermark)s::timestamptz[], %(reason)s::text[])
    as run (rule, due_at, started_at, finished_at, outcome, watermark, reason)
on conflict (rule) do update set
    due_at = excluded.due_at, started_at = excluded.started_at, finished_at = excluded.finished_at,
    outcome = excluded.outcome, watermark = excluded.watermark, reason = excluded.reason,
    judged_at = coalesce(excluded.judged_at, last_run.judged_at);

-- name: record_run
-- What was not judged, for the ledger.
insert into alerts.rule_run (rule, due_at, started_at, finished_at, outcome, watermark, reason)
values (%(rule)s, %(due_at)s, %(started_at)s, %(finished_at)s, %(outcome)s, %(watermark)s, %(reason)s)
on conflict (rule, due_at, outcome) do nothing;

-- name: drop_runs
-- The ledger goes back a week.
delete from alerts.rule_run where due_at < %(now)s - interval '7 days';

-- name: claim_deliveries
-- Messages that may go out now, the most severe first, taken until the lease ends; one waits for those before it.
update alerts.delivery set attempts = attempts + 1, not_before = %(lease_until)s
where delivery_id in (
    select due.delivery_id
    from unnest(%(contacts)s::text[], %(at_most)s::integer[], %(per_seconds)s::double precision[])
        as contact (name, at_most, per_seconds)
    cross join lateral (
        select delivery_id, priority from alerts.delivery as waiting
        where waiting.state = 'waiting' and waiting.not_before <= %(now)s and waiting.contact = contact.name
          and not exists (
              select from alerts.delivery as earlier
              where earlier.dedup_key = waiting.dedup_key and earlier.contact = waiting.contact
                and earlier.delivery_id < waiting.delivery_id and earlier.state = 'waiting')
        order by waiting.priority, waiting.delivery_id
        limit least(%(limit)s, greatest(0, contact.at_most - (
            select count(*) from alerts.delivery as sent
            where sent.contact = contact.name and sent.state = 'delivered'
              and sent.delivered_at > %(now)s - make_interval(secs => contact.per_seconds))))
        for update skip locked) as due)
returning delivery_id, dedup_key, transition, ordinal, contact, priority, body, attempts, created_at;

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
select alert_id, rule, sla, domain, level, channel, location, provider, subject, owner, told, told_because, severity, summary,
       reason, next_step, link, overdue_open, at_risk, oldest_due_at, opened_at, resolved_at, resolved_reason, incident_id, hidden,
       announced
from alerts.alert where resolved_at is null order by opened_at desc, alert_id limit %(limit)s;

-- name: resolved_alerts
-- Alerts that were resolved, newest first.
select alert_id, rule, sla, domain, level, channel, location, provider, subject, owner, told, told_because, severity, summary,
       reason, next_step, link, overdue_open, at_risk, oldest_due_at, opened_at, resolved_at, resolved_reason, incident_id, hidden,
       announced
from alerts.alert where resolved_at is not null order by resolved_at desc, alert_id limit %(limit)s;

-- name: one_alert
-- The alert of this name.
select alert_id, rule, sla, domain, level, channel, location, provider, subject, owner, told, told_because, severity, summary,
       reason, next_step, link, overdue_open, at_risk, oldest_due_at, opened_at, resolved_at, resolved_reason, incident_id, hidden,
       announced
from alerts.alert where alert_id = %(alert_id)s;

-- name: deliveries_of
-- Who was told of these incidents, when, and whether it arrived.
select dedup_key, transition, ordinal, contact, state, attempts, created_at, not_before, delivered_at, status_code, error
from alerts.delivery where dedup_key = any(%(incident_ids)s) order by delivery_id;

-- name: last_runs
-- The newest run of each rule.
select rule, due_at, started_at, finished_at, outcome, watermark, reason from alerts.last_run order by rule;

-- name: missed_runs
-- The times that rules were not evaluated, newest first.
select rule, due_at, started_at, finished_at, outcome, watermark, reason
from alerts.rule_run where outcome = 'missed' order by due_at desc limit %(limit)s;

-- name: add_silence
-- Something is not told for a while.
insert into alerts.silence (kind, match, starts_at, ends_at, author, reason, created_at)
values (%(kind)s, %(match)s, %(starts_at)s, %(ends_at)s, %(author)s, %(reason)s, %(created_at)s)
returning silence_id;

-- name: end_silence
-- A silence is over before its time.
update alerts.silence set ends_at = greatest(%(now)s, starts_at)
where silence_id = %(silence_id)s and ends_at > %(now)s returning silence_id;

-- name: silences
-- Silences, the newest first, with how many alerts each has hidden.
select silence_id, kind, match, starts_at, ends_at, author, reason, created_at,
       (select count(*) from alerts.hidden_by where hidden_by.silence_id = silence.silence_id) as hid
from alerts.silence where not %(active_only)s or ends_at > %(now)s
order by silence_id desc limit %(limit)s;

-- name: record_hidden
-- A silence has kept these alerts from being told.
insert into alerts.hidden_by (silence_id, alert_id)
select * from unnest(%(silence_id)s::bigint[], %(alert_id)s::text[])
on conflict do nothing;

-- name: audit_figures
-- What the auditor holds alerting to.
select
    (select count(*) from alerts.alert where resolved_at is null and severity <> 'record' and incident_id = '') as untold,
    (select count(*) from alerts.incident
     where resolved_at is null and (next_at is null or next_at < %(now)s - %(grace)s)) as without_next_step,
    (select count(*) from alerts.delivery
     where state = 'waiting' and not_before < %(now)s - %(grace)s and contact = any(%(contacts)s)) as unsent,
    (select count(*) from alerts.delivery where state in ('refused', 'abandoned') and created_at > %(now)s - interval '1 day') as lost,
    (select min(judged_at) from alerts.last_run where rule = any(%(rules)s)) as oldest_run_at,
    (select count(judged_at) from alerts.last_run where rule = any(%(rules)s)) as rules_run;
