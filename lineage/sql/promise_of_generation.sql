-- promise_of_generation: what generation {generation} changes in {build}.
        FROM promise_changes
        WHERE generation = {generation:UInt64} AND build = {build:UInt64}
