-- promise_build_dropped: the items of a build that is read no more go, when the engine has time.
ALTER TABLE promise_items DELETE WHERE build = {build:UInt64} SETTINGS mutations_sync = 0
