-- otlp_requests receives export requests as they were sent and keeps nothing; views on it do.
CREATE TABLE IF NOT EXISTS otlp_requests
(
    resource_spans Array(Tuple(
        resource Tuple(
            attributes Array(Tuple(key String, value String)),
            dropped_attributes_count UInt32),
        scope_spans Array(Tuple(
            scope Tuple(
                name String,
                version String,
                attributes Array(Tuple(key String, value String)),
                dropped_attributes_count UInt32),
            spans Array(Tuple(
                trace_id String,
                span_id String,
                trace_state String,
                parent_span_id String,
                name String,
                kind Int32,
                start_time_unix_nano UInt64,
                end_time_unix_nano UInt64,
                attributes Array(Tuple(key String, value String)),
                dropped_attributes_count UInt32,
                events Array(Tuple(
                    time_unix_nano UInt64,
                    name String,
                    attributes Array(Tuple(key String, value String)),
                    dropped_attributes_count UInt32)),
                dropped_events_count UInt32,
                links Array(Tuple(
                    trace_id String,
                    span_id String,
                    trace_state String,
                    attributes Array(Tuple(key String, value String)),
                    dropped_attributes_count UInt32,
                    flags UInt32)),
                dropped_links_count UInt32,
                status Tuple(message String, code Int32),
                flags UInt32)),
            schema_url String)),
        schema_url String))
)
ENGINE = Null;

-- spans holds one row for each span, beside the other spans of its transaction; a span sent again replaces itself.
-- A `kinds` column has the kind of each attribute of its map, in order. Arrays and maps are JSON; bytes, and what JSON
-- cannot say exactly, are base64.
-- Text is plain: a dictionary in each of thirty columns and maps takes 8 % less on disk and makes a merge of a million
-- spans cost 8 s of processor time instead of 5, as much as half of what it takes to insert them.
CREATE TABLE IF NOT EXISTS spans
(
    correlation_id FixedString(16) CODEC(ZSTD(1)),
    start_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    end_time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(NONE),
    parent_span_id FixedString(8) CODEC(ZSTD(1)),
    name String CODEC(ZSTD(1)),
    kind Int8 CODEC(ZSTD(1)),
    status_code Int8 CODEC(ZSTD(1)),
    status_message String CODEC(ZSTD(1)),
    service String CODEC(ZSTD(1)),
    scope_name String CODEC(ZSTD(1)),
    scope_version String CODEC(ZSTD(1)),
    trace_state String CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)),
    origin String CODEC(ZSTD(1)),
    domain String CODEC(ZSTD(1)),
    hop String CODEC(ZSTD(1)),
    stage String CODEC(ZSTD(1)),
    outcome String CODEC(ZSTD(1)),
    attempt UInt16 CODEC(ZSTD(1)),
    reason String CODEC(ZSTD(1)),
    entity String CODEC(ZSTD(1)),
    entity_id String CODEC(ZSTD(1)),
    milestone String CODEC(ZSTD(1)),
    occurred_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    business_date Date CODEC(Delta, ZSTD(1)),
    due_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    channel String CODEC(ZSTD(1)),
    location String CODEC(ZSTD(1)),
    region String CODEC(ZSTD(1)),
    brand String CODEC(ZSTD(1)),
    legal_entity String CODEC(ZSTD(1)),
    provider String CODEC(ZSTD(1)),
    system String CODEC(ZSTD(1)),
    sku String CODEC(ZSTD(1)),
    quantity Int64 CODEC(T64, ZSTD(1)),
    amount_minor Int64 CODEC(T64, ZSTD(1)),
    currency String CODEC(ZSTD(1)),
    owner String CODEC(ZSTD(1)),
    rule_version String CODEC(ZSTD(1)),
    customer_ref String CODEC(ZSTD(1)),
    source String CODEC(ZSTD(1)),
    keys Map(String, String) CODEC(ZSTD(1)),
    attrs Map(String, String) CODEC(ZSTD(1)),
    attr_kinds Array(Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4,
                           'array_value' = 5, 'kvlist_value' = 6, 'bytes_value' = 7)) CODEC(ZSTD(1)),
    resource_attrs Map(String, String) CODEC(ZSTD(1)),
    resource_kinds Array(Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4,
                               'array_value' = 5, 'kvlist_value' = 6, 'bytes_value' = 7)) CODEC(ZSTD(1)),
    resource_dropped_attributes_count UInt32 CODEC(ZSTD(1)),
    resource_schema_url String CODEC(ZSTD(1)),
    scope_attrs Map(String, String) CODEC(ZSTD(1)),
    scope_kinds Array(Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4,
                            'array_value' = 5, 'kvlist_value' = 6, 'bytes_value' = 7)) CODEC(ZSTD(1)),
    scope_dropped_attributes_count UInt32 CODEC(ZSTD(1)),
    scope_schema_url String CODEC(ZSTD(1)),
    events Array(Tuple(
        at DateTime64(9, 'UTC'), name String, attrs Map(String, String),
        kinds Array(Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4,
                          'array_value' = 5, 'kvlist_value' = 6, 'bytes_value' = 7)),
        dropped_attributes_count UInt32)) CODEC(ZSTD(1)),
    links Array(Tuple(
        trace_id FixedString(16), span_id FixedString(8), trace_state String, attrs Map(String, String),
        kinds Array(Enum8('none' = 0, 'string_value' = 1, 'bool_value' = 2, 'int_value' = 3, 'double_value' = 4,
                          'array_value' = 5, 'kvlist_value' = 6, 'bytes_value' = 7)),
        dropped_attributes_count UInt32, flags UInt32)) CODEC(ZSTD(1)),
    dropped_attributes_count UInt32 CODEC(ZSTD(1)),
    dropped_events_count UInt32 CODEC(ZSTD(1)),
    dropped_links_count UInt32 CODEC(ZSTD(1)),
    ingested_at DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1)),
    INDEX by_trace lower(hex(trace_id)) TYPE bloom_filter(0.01) GRANULARITY 1,
    -- Identities are spread evenly, so that each part has one granule where a transaction may stand: only one or two do.
    INDEX by_transaction correlation_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(start_time)
ORDER BY (correlation_id, start_time, span_id)
-- To merge a million spans costs as much as to insert them: ten parts make one, not five. A part below 256 MB is one
-- file instead of two hundred and fifty.
SETTINGS ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1, merge_selector_base = 10,
         min_bytes_for_wide_part = 268435456;

-- otlp_to_spans flattens requests into spans: an attribute with a column of its own leaves the map of attributes.
-- Each step is a query of its own: an alias that is used thirty times is analysed thirty times, at every insert.
-- Positions in `promoted`: 1-29 columns, 30-50 business keys; `places` holds 0 for what stays in `attrs`, also when
-- a promoted name carries a value its column cannot hold.
-- An attribute's value comes as the bytes of its AnyValue, a column instead of eight: read so, a million spans cost
-- 2 s of processor time instead of 4, flattened 3 instead of 5. What no encoder writes (two values in one, an unknown
-- field) throws, and the request is normalised and tried again; no other expression may throw.
CREATE MATERIALIZED VIEW IF NOT EXISTS otlp_to_spans TO spans AS
WITH
    ['retail.correlation_id', 'retail.origin', 'retail.domain', 'retail.hop', 'retail.stage', 'retail.outcome',
     'retail.attempt', 'retail.reason', 'retail.entity', 'retail.entity_id', 'retail.milestone', 'retail.occurred_at',
     'retail.business_date', 'retail.due_at', 'retail.channel', 'retail.location', 'retail.region', 'retail.brand',
     'retail.legal_entity', 'retail.provider', 'retail.system', 'retail.sku', 'retail.quantity',
     'retail.amount_minor', 'retail.currency', 'retail.owner', 'retail.rule_version', 'retail.customer_ref',
     'retail.source', 'retail.order_id', 'retail.shipment_id', 'retail.tracking_id', 'retail.payment_id',
     'retail.dispute_id', 'retail.return_id', 'retail.refund_id', 'retail.invoice_id', 'retail.credit_memo_id',
     'retail.journal_id', 'retail.erp_document_id', 'retail.settlement_id', 'retail.payout_id',
     'retail.bank_line_id', 'retail.gift_card_id', 'retail.purchase_order_id', 'retail.transfer_id',
     'retail.count_id', 'retail.event_id', 'retail.customer_id', 'retail.account_id'] AS promoted,
    value -> bitShiftRight(reinterpretAsUInt8(value), 3) AS kind_of,
    (low, high) -> arraySum(
        group -> toInt64(bitShiftLeft(bitAnd(bitShiftRight(low, 8 * group), 0x7f), 7 * group)), range(8))
        + toInt64(bitShiftLeft(bitAnd(high, 0x7f) + bitShiftRight(bitAnd(high, 0x100), 1), 56)) AS varint,
    (value, size, tag, low, head) -> if(reinterpretAsUInt16(value) = 256 * size - 502, substring(value, 3), multiIf(
        size = 0, '',
        tag = 0x18 AND size <= 11 AND bitCount(bitAnd(low, 0x8080808080808080)) = least(size - 2, 8),
        toString(varint(low, toUInt64(reinterpretAsUInt16(substring(value, 10))))),
        tag = 0x21 AND size = 9, toString(reinterpretAsFloat64(substring(value, 2))),
        tag = 0x10 AND size = 2, if(low = 0, 'false', 'true'),
        tag NOT IN (0x0a, 0x2a, 0x32, 0x3a) OR size != head + varint(bitAnd(low, bitShiftLeft(toUInt64(1), 8 * head - 8) - 1), 0),
        toString(throwIf(size > 0, 'a value that no encoder writes')),
        tag = 0x0a OR (tag != 0x3a AND match(substring(value, head + 1), '^[\\[{]')), substring(value, head + 1),
        base64Encode(substring(value, head + 1)))) AS as_text,
    values -> arrayMap(
        as_text, values, arrayMap(value -> length(value), values), arrayMap(value -> reinterpretAsUInt8(value), values),
        arrayMap(value -> reinterpretAsUInt64(substring(value, 2)), values),
        arrayMap(value -> toUInt8(multiIf(length(value) < 130, 2, length(value) < 16387, 3, length(value) < 2097156, 4,
                                          5)), values)) AS as_texts
SELECT
    toFixedString(unhex(texts[indexOf(places, 1)]), 16) AS correlation_id,
    fromUnixTimestamp64Nano(toInt64(span.start_time_unix_nano), 'UTC') AS start_time,
    fromUnixTimestamp64Nano(toInt64(span.end_time_unix_nano), 'UTC') AS end_time,
    toFixedString(substring(span.trace_id, 1, 16), 16) AS trace_id,
    toFixedString(substring(span.span_id, 1, 8), 8) AS span_id,
    toFixedString(substring(span.parent_span_id, 1, 8), 8) AS parent_span_id,
    span.name AS name,
    toInt8(span.kind) AS kind,
    toInt8(span.status.code) AS status_code,
    span.status.message AS status_message,
    service,
    scope_name,
    scope_version,
    span.trace_state AS trace_state,
    span.flags AS flags,
    texts[indexOf(places, 2)] AS origin,
    texts[indexOf(places, 3)] AS domain,
    texts[indexOf(places, 4)] AS hop,
    texts[indexOf(places, 5)] AS stage,
    texts[indexOf(places, 6)] AS outcome,
    toUInt16OrZero(texts[indexOf(places, 7)]) AS attempt,
    texts[indexOf(places, 8)] AS reason,
    texts[indexOf(places, 9)] AS entity,
    texts[indexOf(places, 10)] AS entity_id,
    texts[indexOf(places, 11)] AS milestone,
    if(has(places, 12),
       fromUnixTimestamp64Micro(intDiv(toInt64OrZero(texts[indexOf(places, 12)]), 1000), 'UTC'),
       toDateTime64(start_time, 6, 'UTC')) AS occurred_at,
    toDateOrZero(texts[indexOf(places, 13)]) AS business_date,
    fromUnixTimestamp64Micro(intDiv(toInt64OrZero(texts[indexOf(places, 14)]), 1000), 'UTC') AS due_at,
    texts[indexOf(places, 15)] AS channel,
    texts[indexOf(places, 16)] AS location,
    texts[indexOf(places, 17)] AS region,
    texts[indexOf(places, 18)] AS brand,
    texts[indexOf(places, 19)] AS legal_entity,
    texts[indexOf(places, 20)] AS provider,
    texts[indexOf(places, 21)] AS system,
    texts[indexOf(places, 22)] AS sku,
    toInt64OrZero(texts[indexOf(places, 23)]) AS quantity,
    toInt64OrZero(texts[indexOf(places, 24)]) AS amount_minor,
    texts[indexOf(places, 25)] AS currency,
    texts[indexOf(places, 26)] AS owner,
    texts[indexOf(places, 27)] AS rule_version,
    texts[indexOf(places, 28)] AS customer_ref,
    texts[indexOf(places, 29)] AS source,
    mapFromArrays(arrayMap(name -> substring(name, 8), arrayFilter((name, place) -> place >= 30, names, places)),
                  arrayFilter((text, place) -> place >= 30, texts, places)) AS keys,
    mapFromArrays(arrayFilter((name, place) -> place = 0, names, places),
                  arrayFilter((text, place) -> place = 0, texts, places)) AS attrs,
    arrayFilter((kind, place) -> place = 0, kinds, places) AS attr_kinds,
    resource_attrs,
    resource_kinds,
    resource_dropped_attributes_count,
    resource_schema_url,
    scope_attrs,
    scope_kinds,
    scope_dropped_attributes_count,
    scope_schema_url,
    arrayMap(event -> tuple(
                 fromUnixTimestamp64Nano(toInt64(event.time_unix_nano), 'UTC'),
                 event.name,
                 mapFromArrays(event.attributes.key, as_texts(event.attributes.value)),
                 arrayMap(kind_of, event.attributes.value),
                 event.dropped_attributes_count),
             span.events) AS events,
    arrayMap(link -> tuple(
                 toFixedString(substring(link.trace_id, 1, 16), 16),
                 toFixedString(substring(link.span_id, 1, 8), 8),
                 link.trace_state,
                 mapFromArrays(link.attributes.key, as_texts(link.attributes.value)),
                 arrayMap(kind_of, link.attributes.value),
                 link.dropped_attributes_count,
                 link.flags),
             span.links) AS links,
    span.dropped_attributes_count AS dropped_attributes_count,
    span.dropped_events_count AS dropped_events_count,
    span.dropped_links_count AS dropped_links_count
FROM
(
    SELECT
        *,
        arrayMap((name, text) -> (toUInt8(transform(name, promoted, range(1, 51), 0)) AS place) * (
                     (place NOT IN (1, 7, 12, 13, 14, 23, 24))
                     OR (place IN (12, 14, 23, 24) AND isNotNull(toInt64OrNull(text)))
                     OR (place = 1 AND match(text, '^[0-9a-fA-F]{32}$'))
                     OR (place = 7 AND isNotNull(toUInt16OrNull(text)))
                     OR (place = 13 AND isNotNull(toDateOrNull(text)))),
                 names, texts) AS places
    FROM
    (
        SELECT
            service,
            resource_attrs,
            resource_kinds,
            resource_dropped_attributes_count,
            resource_schema_url,
            scope_name,
            scope_version,
            scope_attrs,
            scope_kinds,
            scope_dropped_attributes_count,
            scope_schema_url,
            span,
            span.attributes.key AS names,
            arrayMap(kind_of, span.attributes.value) AS kinds,
            as_texts(span.attributes.value) AS texts
        FROM
        (
            SELECT
                service,
                resource_attrs,
                resource_kinds,
                resource_dropped_attributes_count,
                resource_schema_url,
                scoped.scope.name AS scope_name,
                scoped.scope.version AS scope_version,
                mapFromArrays(scoped.scope.attributes.key,
                              as_texts(scoped.scope.attributes.value)) AS scope_attrs,
                arrayMap(kind_of, scoped.scope.attributes.value) AS scope_kinds,
                scoped.scope.dropped_attributes_count AS scope_dropped_attributes_count,
                scoped.schema_url AS scope_schema_url,
                scoped.spans AS spans
            FROM
            (
                WITH
                    sent.resource.attributes.key AS names,
                    as_texts(sent.resource.attributes.value) AS texts
                SELECT
                    texts[indexOf(names, 'service.name')] AS service,
                    mapFromArrays(arrayFilter(name -> name != 'service.name', names),
                                  arrayFilter((text, name) -> name != 'service.name', texts, names)) AS resource_attrs,
                    arrayFilter((kind, name) -> name != 'service.name', arrayMap(kind_of, sent.resource.attributes.value),
                                names) AS resource_kinds,
                    sent.resource.dropped_attributes_count AS resource_dropped_attributes_count,
                    sent.schema_url AS resource_schema_url,
                    sent.scope_spans AS scope_spans
                FROM otlp_requests
                ARRAY JOIN resource_spans AS sent
            )
            ARRAY JOIN scope_spans AS scoped
        )
        ARRAY JOIN spans AS span
    )
);
