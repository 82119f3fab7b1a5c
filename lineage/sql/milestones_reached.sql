-- milestones_reached: which milestones anything has reached.
SELECT concat(entity, '.', milestone)
FROM milestones
GROUP BY entity, milestone
