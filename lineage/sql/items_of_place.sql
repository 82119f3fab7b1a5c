-- items_of_place: the condition that an item is of a place that is asked for.
    ({channel:String} = '' OR channel = {channel:String})
    AND ({location:String} = '' OR location = {location:String})
    AND (NOT {branded:UInt8}
        OR location IN {brand_locations:Array(String)}
        OR (channel IN {brand_channels:Array(String)} AND location NOT IN {other_locations:Array(String)}))
