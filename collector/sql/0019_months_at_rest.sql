-- A month in which nothing came for a day becomes one part: a transaction is looked for in every part, and a hundred of
-- them take as long as all the rest. A month that late facts still come to is left as it is.
ALTER TABLE spans MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE milestones MODIFY SETTING min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
