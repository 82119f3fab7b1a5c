-- fresh_stretches: for each feed the stretches of whole minutes that count, and how many of them were fresh.
SELECT
    channel,
    location,
    feed,
    begin_minute,
    counted,
    intDiv(life_us + silence_us, 60000000) - begin_minute + 1 AS alive,
    lag_us > limit_us ? 0 : least(counted, greatest(0, alive)) AS fresh,
    lag_us,
    limit_us,
    life_us
FROM
(
    SELECT
        channel,
        location,
        feed,
        lag_us,
        limit_us,
        life_us,
        silence_us,
        greatest(minute_no, toInt64(day) * 1440 + opens) - shift AS begin_minute,
        least(till_minute, toInt64(day) * 1440 + closes) - shift AS end_minute,
        end_minute - begin_minute AS counted
    FROM
    (
        SELECT
            channel,
            location,
            feed,
            minute_no,
            shift,
            opens,
            closes,
            limit_us,
            silence_us,
            greatest(0, source_us - published_us) AS lag_us,
            life_us,
            multiIf(next_minute != 0 AND (has_hours OR intDiv(next_minute + shift, 1440) = intDiv(minute_no, 1440)),
                    next_minute + shift,
                    has_hours, greatest(intDiv({now_us:Int64}, 60000000) + shift, minute_no + 1),
                    minute_no + 1) AS till_minute,
            arrayJoin(range(toUInt32(intDiv(minute_no, 1440)), toUInt32(intDiv(till_minute - 1, 1440) + 1))) AS day
        FROM
        (
            SELECT
                channel,
                location,
                feed,
                utc_minute + shift AS minute_no,
                shift,
                indexOf({rule_channels:Array(String)}, channel) + 1 AS rule,
                {rule_limits:Array(Int64)}[rule] * 1000000 AS limit_us,
                {rule_silences:Array(Int64)}[rule] * 1000000 AS silence_us,
                {rule_opens:Array(Int64)}[rule] AS opens,
                {rule_closes:Array(Int64)}[rule] AS closes,
                NOT (opens = 0 AND closes = 1440) AS has_hours,
                max(source_us) OVER so_far AS source_us,
                max(published_us) OVER so_far AS published_us,
                max(life_us) OVER so_far AS life_us,
                leadInFrame(utc_minute) OVER (PARTITION BY channel, location, feed ORDER BY utc_minute
                                             ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next_minute
            FROM
            (
                SELECT
                    channel,
                    location,
                    feed,
                    toInt64(intDiv(toUnixTimestamp(minute), 60)) AS utc_minute,
                    toInt64(intDiv(timezoneOffset(toTimeZone(minute, {zone:String})), 60)) AS shift,
                    toUnixTimestamp64Micro(max(source_at)) AS source_us,
                    toUnixTimestamp64Micro(max(published_at)) AS published_us,
                    toUnixTimestamp64Micro(max(heartbeat_at)) AS heartbeat_us,
                    heartbeat_us = 0 ? utc_minute * 60000000 : heartbeat_us AS life_us
                FROM stock_freshness
                WHERE minute <= toDateTime(intDiv({now_us:Int64}, 1000000), 'UTC')
                GROUP BY channel, location, feed, minute
            )
            WINDOW so_far AS (PARTITION BY channel, location, feed ORDER BY utc_minute
                              ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
        )
    )
)
WHERE counted > 0
