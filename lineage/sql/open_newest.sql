-- open_newest: the newest whole generation by {definition}.
SELECT generation, milestones_block, corrections_block, as_of_us, later
FROM open_generations FINAL
WHERE definition = {definition:String}
