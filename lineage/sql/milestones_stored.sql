-- milestones_stored: how many rows there are of them, counted without reading one.
SELECT count()
FROM milestones
