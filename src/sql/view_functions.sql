-- Small functions that the views are made of.

CREATE FUNCTION backfill.time_text(span interval) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN span < interval '1 s' THEN '1s'
  WHEN span < interval '1 min' THEN to_char(ceil(extract(epoch FROM span)), 'FM90"s"')
  WHEN span < interval '1 h' THEN to_char(ceil(extract(epoch FROM span) / 60), 'FM90"m"')
  WHEN span < interval '2 days' THEN
    to_char(floor(extract(epoch FROM span) / 3600), 'FM90"h "') || to_char(floor(extract(epoch FROM span) / 60)::integer % 60, 'FM90"m"')
  ELSE to_char(ceil(extract(epoch FROM span) / 86400), 'FM9990"d"')
END;
COMMENT ON FUNCTION backfill.time_text(interval) IS
  'A time for people: 42s, 18m, 2h 5m, 3d. Rounded up. Takes no locks.';

CREATE FUNCTION backfill.time_range(best interval) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN backfill.time_text(best * 0.8) = backfill.time_text(best * 1.5) THEN 'about ' || backfill.time_text(best)
            ELSE backfill.time_text(best * 0.8) || ' - ' || backfill.time_text(best * 1.5) END;

COMMENT ON FUNCTION backfill.time_range(interval) IS
  'The range shown for a projected time: 0.8 to 1.5 times the best guess. Takes no locks.';
