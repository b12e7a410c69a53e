-- When a job may work.  In SQL, so that time zones and their changes are the server's.

CREATE FUNCTION backfill.window_opens(days text[], opens interval[], closes interval[], zone text, at timestamptz)
  RETURNS timestamptz
LANGUAGE sql STABLE
RETURN (
  SELECT CASE WHEN bool_or(w.opens <= at AND at < w.closes) THEN at ELSE min(w.opens) FILTER (WHERE w.opens > at) END
    FROM unnest(days, opens, closes) AS given (days, opens, closes)
         -- from the day before yesterday, as a window that goes over midnight is two days long, to a week ahead
         CROSS JOIN generate_series(-2, 8) AS n
         CROSS JOIN LATERAL (SELECT (at AT TIME ZONE zone)::date + n AS day) AS d
         CROSS JOIN LATERAL (SELECT (d.day + given.opens) AT TIME ZONE zone AS opens, (d.day + given.closes) AT TIME ZONE zone AS closes) AS w
   WHERE position(extract(isodow FROM d.day)::text IN given.days) > 0
     -- an hour that the clock leaves out is no window
     AND w.opens < w.closes);
COMMENT ON FUNCTION backfill.window_opens(text[], interval[], interval[], text, timestamptz) IS
  'When the next of these windows opens, by the clock of the zone; the moment itself where one is open. Arguments, an element a window: the ISO numbers of the days on which it opens, its begin and its end counted from the midnight of that day. Takes no locks.';
