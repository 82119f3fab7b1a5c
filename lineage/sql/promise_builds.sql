-- promise_builds: what stands ready of each promise that was ever judged into items.
SELECT definition, build, generation, milestones_block, corrections_block, as_of_us, stale_day, newest_us, brands
FROM promise_builds FINAL
