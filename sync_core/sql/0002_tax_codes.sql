-- Tax has a code: of lines of orders, of lines of journals, and by code of what orders and returns come to.

alter table core.journal_lines add column tax_code text not null default '';

alter table core.order_lines add column tax_code text not null default '', add column tax_minor bigint;
comment on column core.order_lines.tax_minor is 'Its own tax, where somebody says what that is.';

alter table core.orders add column taxes jsonb;
comment on column core.orders.taxes is
    'By code the tax that is booked for it, or is to be once it is paid; null: from before tax had codes.';

alter table core.returns add column taxes jsonb, add column pending_taxes jsonb not null default '{}';
comment on column core.returns.taxes is
    'By code the tax that it takes back, of which the pending is not reclaimed yet; null: from before tax had codes.';
