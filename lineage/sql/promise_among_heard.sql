-- promise_among_heard: of the transactions that are marked.
AND correlation_id IN (
    SELECT correlation_id FROM promise_milestones WHERE generation = {marks:UInt64} AND entity = '')
