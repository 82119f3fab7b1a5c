-- promise_items_dropped: items of builds that are read no more.
ALTER TABLE promise_items DELETE WHERE build NOT IN {kept:Array(UInt64)} SETTINGS mutations_sync = 0
