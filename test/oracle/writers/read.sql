-- Rows that nobody changes are always there, and only once.
SELECT oracle.expect(count(*) = 100, 'one hundred rows stay') FROM orders WHERE id < 0;
SELECT oracle.expect(count(*) > 0, 'the view shows rows') FROM january;
