-- promise_copied: the milestones of the transactions that generation {generation} judges again.
(SELECT * EXCEPT (generation) FROM promise_milestones WHERE generation = {generation:UInt64} AND entity != '') AS milestones
