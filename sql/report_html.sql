-- The report in HTML: well-formed, escaped, nothing loaded and nothing run, the same facts as in Markdown.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS backfill;
CREATE SCHEMA report_html;
SET search_path = report_html, public;
SET timezone = 'UTC';

-- The document, parsed: what is not well-formed is an error.
CREATE FUNCTION page(name text) RETURNS xml LANGUAGE sql AS $$ SELECT xmlparse(DOCUMENT backfill_report(name, 'html')) $$;
-- The texts of a path, in order; of a row of a table its cells.
CREATE FUNCTION texts(page xml, path text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT regexp_replace(CASE WHEN node::text LIKE '<tr%' THEN (SELECT string_agg((xpath('normalize-space(.)', cell))[1]::text, ' | ') FROM unnest(xpath('/tr/*', node)) AS cell)
                             WHEN node::text LIKE '<%' THEN (xpath('normalize-space(.)', node))[1]::text
                             ELSE node::text END, '_(backfill|archive)_\d+', '_\1_N', 'g')
  FROM unnest(xpath(path, page)) AS node
$$;
CREATE FUNCTION sections(page xml) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(t, ', ') FROM texts(page, '//h2') AS t $$;

-- Names and texts that mean something to HTML.
CREATE TABLE "<b>Größe</b> ""&amp;'" (id integer PRIMARY KEY, day date NOT NULL, "<i>n</i>" integer, "שלום" text);
INSERT INTO "<b>Größe</b> ""&amp;'" SELECT i, date '2024-01-01' + i % 60, i, 'x' FROM generate_series(1, 600) AS i;
CREATE INDEX day ON "<b>Größe</b> ""&amp;'" (day);
ANALYZE "<b>Größe</b> ""&amp;'";
CREATE VIEW "</td>" AS SELECT * FROM "<b>Größe</b> ""&amp;'";
\set name '<script>alert("1")</script> ''q'' &lt; שלום'
SELECT count(*) > 0 AS planned FROM backfill_plan(jsonb_build_object('name', :'name',
  'description', 'see <https://ana:hunter2@wiki.example/page?token=s3cret#top> and https://hooks.example/services/T0/B0/s3cret' || E'\x01\u202E',
  'reason', 'it''s "wrong" & <em>late</em>, password=s3cret', 'requested_by', '<img src="x" onerror="alert(1)">',
  'scope', '{"column": "day", "start": "2024-01-01", "stop": "2024-02-01"}'::jsonb || jsonb_build_object('table', '"<b>Größe</b> ""&amp;''"'),
  'transform', jsonb_build_object('set', jsonb_build_object('<i>n</i>', '"<i>n</i>" + 10', 'שלום', 'CASE WHEN id % 2 = 0 AND 1 < 2 THEN ''</code>'' END')),
  'strategy', '{"chunk_by": "10 days", "parallelism": 1}'::jsonb,
  'checks', jsonb_build_array(jsonb_build_object('check', 'expression', 'sql', '"<i>n</i>" < 500', 'name', '<u>small</u>', 'severity', 'warn')))::text);

SELECT sections(page(:'name'));
SELECT texts(page(:'name'), '//h1');
SELECT texts(page(:'name'), '//*[@class="state plain" or @class="state soft"]');
SELECT regexp_replace(texts(page(:'name'), '//dl[@class="about"]/dd'), 'planned \d.*UTC', 'planned TIME') AS record;
SELECT texts(page(:'name'), '//pre');
-- No secret is told, in either format.
SELECT backfill_report(:'name', format) ~ 's3cret|hunter2' AS secret FROM (VALUES ('html'), ('markdown')) AS f (format);

SELECT backfill_run(:'name') IS NOT NULL AS started;
CALL backfill_wait(:'name', '2 min');
SELECT count(*) > 0 AS compared FROM backfill_diff(:'name');
CREATE TABLE ready AS SELECT page(:'name') AS page;

-- Nothing is loaded, linked or run, and a policy says so.
SELECT count(*) AS active FROM ready, unnest(xpath('//script | //link | //iframe | //img | //object | //embed | //@src | //@href | //@*[starts-with(name(), "on")]', page)) AS node;
SELECT unnest(xpath('//meta[@http-equiv]/@content', page)) AS policy FROM ready;
-- What people named is text wherever it stands.
SELECT count(*) AS elements FROM ready, unnest(xpath('//u | //b | //em | //img | //td//td', page)) AS node;
SELECT texts(page, '//table[caption[starts-with(., "Objects")]]/tbody/tr') FROM ready;

SELECT sections(page) FROM ready;
SELECT texts(page, '//ol[contains(@class, "strip")]/@aria-label') FROM ready;
SELECT regexp_replace(texts(page, '//ol[contains(@class, "strip")]/li/@title'), '[\d.]+m?s(\n|$)', 'SPAN') AS cells FROM ready;
SELECT texts(page, '//table[caption[starts-with(., "Evidence") or starts-with(., "Checks")]]/tbody/tr') FROM ready;
SELECT texts(page, '//svg[@class="share"]/@aria-label') FROM ready;
SELECT texts(page, '//table[caption[starts-with(., "Columns")]]//tr') FROM ready;
SELECT texts(page, '//figure[h3]/h3 | //figure[h3]//svg/@aria-label') FROM ready;
SELECT count(*) AS days, min(title::text) AS first FROM ready, unnest(xpath('//figure[h3][1]//rect/title/text()', page)) AS title;
SELECT count(*) AS lines FROM ready, unnest(xpath('//figure[h3]//path[@class="live" or @class="fresh"]/@d', page)) AS line;
SELECT texts(page, '//pre[@class="command"]') FROM ready;

-- Accessible: a language, a title, one main and one h1; every table has a caption and its heads a scope; every picture is labelled,
-- or hidden because a text beside it says the same; every section is labelled by its heading; what scrolls can be focused.
SELECT xpath_exists('/html[@lang]', page) AND xpath_exists('/html/head/title[. != ""]', page) AND
       (xpath('count(//main)', page))[1]::text = '1' AND (xpath('count(//h1)', page))[1]::text = '1' AS document,
       xpath_exists('//table[not(caption)] | //thead//th[not(@scope="col")] | //tbody/tr[not(th[@scope="row"])]', page) AS table_without,
       xpath_exists('//svg[not(@role="img" and @aria-label) and not(@aria-hidden)]', page) AS picture_without,
       xpath_exists('//section[not(@aria-labelledby = h2/@id)]', page) AS section_without,
       xpath_exists('//div[@class="box"][not(@tabindex="0" and @aria-label)]', page) AS box_without
FROM ready;
-- Ids are unique, and CSS holds nothing that HTML and XML read differently.
SELECT count(*) - count(DISTINCT id::text) AS repeated FROM ready, unnest(xpath('//@id', page)) AS id;
SELECT backfill_report(:'name', 'html') ~ '<style>[^<&]*</style>' AS plain_style;

-- Markdown has the same.
SELECT line FROM string_to_table(backfill_report(:'name'), E'\n') AS line WHERE line ~ '^(## |\*\*(Added|Removed|Changed|Unchanged)|\| (\\<i|שלום))';

-- Published, undone, cancelled: at any stage.
SELECT backfill_publish(:'name') IS NOT NULL AS published;
SELECT texts(page(:'name'), '//*[starts-with(@class, "state ")] | //pre[@class="command"]');
SET client_min_messages = error;
SELECT backfill_rollback(:'name') IS NOT NULL AS undone;
SET client_min_messages = warning;
SELECT texts(page(:'name'), '//*[starts-with(@class, "state ")] | //section[@aria-labelledby="rollback"]/p');
SELECT backfill_cancel(:'name') IS NOT NULL AS cancelled;
SELECT texts(page(:'name'), '//*[starts-with(@class, "state ")] | //section[@aria-labelledby="rollback"]/p');

-- A chunk that fails, and very many chunks.
SELECT count(*) > 0 AS planned FROM backfill_plan('html_failing', '"<b>Größe</b> ""&amp;''"', set => '{"<i>n</i>": "1 / (id - 45)"}',
  chunk_column => 'id', start => '1', stop => '501', chunk_by => '1', options => '{"strategy": {"parallelism": 1}}');
SELECT backfill_run('html_failing') IS NOT NULL AS started;
\set VERBOSITY terse
CALL backfill_wait('html_failing', '2 min');
\set VERBOSITY default
CREATE TABLE failing AS SELECT page('html_failing') AS page;
SELECT sections(page) FROM failing;
SELECT texts(page, '//div[@class="failure"]/*') FROM failing;
SELECT count(*) <= 400 AS few_cells, count(*) FILTER (WHERE cell::text = 'failed') AS failed FROM failing, unnest(xpath('//ol[contains(@class, "strip")]/li/@class', page)) AS cell;
SELECT regexp_replace(texts(page, '//ol[contains(@class, "strip")]/li[@class="failed"]/@title'), '[\d.]+m?s', 'SPAN') AS failed FROM failing;
SELECT backfill_cancel('html_failing') IS NOT NULL AS cancelled;

-- Bad input.
SELECT backfill_report('html_failing', 'pdf');
SELECT backfill_report('html_failing', 'HTML');

SET client_min_messages = error;
DROP SCHEMA report_html CASCADE;
