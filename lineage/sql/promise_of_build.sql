-- promise_of_build: everything that stands in {build}.
        FROM promise_items
        WHERE build = {build:UInt64}
