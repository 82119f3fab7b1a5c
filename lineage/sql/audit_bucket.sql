-- audit_bucket: the span IDs of {service} that begin with the byte {bucket}, as often as they are stored.
SELECT lower(hex(span_id))
FROM spans FINAL
WHERE service = {service:String} AND reinterpretAsUInt8(substring(span_id, 1, 1)) = {bucket:UInt8}
ORDER BY span_id
