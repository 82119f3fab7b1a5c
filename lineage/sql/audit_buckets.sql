-- audit_buckets: how many spans of {service} are stored for each first byte of their ID, and a checksum of the IDs.
SELECT
    reinterpretAsUInt8(substring(span_id, 1, 1)) AS bucket,
    count() AS stored,
    uniqExact(span_id) AS distinct_ids,
    groupBitXor(reinterpretAsUInt64(span_id)) AS id_xor
FROM (SELECT span_id FROM spans FINAL WHERE service = {service:String})
GROUP BY bucket
ORDER BY bucket
