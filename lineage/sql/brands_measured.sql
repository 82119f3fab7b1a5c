-- brands_measured: by what promises were measured of brands, at midnights.
SELECT DISTINCT sla, definition
FROM sli_samples
WHERE brand != '' AND daily
