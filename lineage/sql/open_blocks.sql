-- open_blocks: the newest blocks of milestones and of corrections, and a number for a generation that begins now.
SELECT
    maxIf(max_block_number, table = 'milestones'),
    maxIf(max_block_number, table = 'corrections'),
    toUnixTimestamp64Micro(now64(6))
FROM system.parts
WHERE active AND database = currentDatabase() AND table IN ('milestones', 'corrections')
