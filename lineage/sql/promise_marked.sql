-- promise_marked: of how many transactions something was heard.
SELECT count() FROM promise_milestones WHERE generation = {generation:UInt64} AND entity = ''
