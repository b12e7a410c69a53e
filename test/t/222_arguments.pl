# Whatever stands in an argument is a value and no SQL; whatever an object is called is a name.
#
# Functions and their arguments come from the catalog, the keys of a spec from the errors that list them: what is new is
# tried without anybody having thought of it.  Nobody may touch the canary, and every attempt to would be in the server's log.
use strict;
use warnings;
use utf8;

use Encode qw(decode_utf8 encode_utf8);
use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', 'autovacuum = off', 'max_worker_processes = 32', 'log_statement = none', 'log_min_error_statement = panic');
my $json = JSON::PP->new->canonical;
my $secret = 'Geheim-4711';

sub literal
{
  my ($text) = @_;
  return 'NULL' unless defined $text;
  return "repeat('x', 1048576)" if $text eq 'huge';
  $text =~ s/([\\'])/\\$1/g;
  return "E'$text'";
}

sub ident { return '"' . $_[0] =~ s/"/""/gr . '"' }

# A canary that nobody may touch: a statement that reaches it succeeds as the extension and is denied to anybody else, and
# both are seen.
value($node, qq{
  CREATE EXTENSION backfill;
  CREATE ROLE keeper;
  CREATE ROLE planner LOGIN IN ROLE keeper;
  CREATE SCHEMA app AUTHORIZATION keeper;
  CREATE TABLE public.canary (alive boolean);
  INSERT INTO canary VALUES (true);
  CREATE FUNCTION public.bitten() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN RAISE LOG 'CANARY %', current_query(); RETURN NULL; END\$\$;
  CREATE TRIGGER bitten BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON canary FOR EACH STATEMENT EXECUTE FUNCTION bitten();
  SET ROLE keeper;
  CREATE TABLE app.planned (id bigint PRIMARY KEY, day date, label text DEFAULT '', n integer, at timestamptz);
  INSERT INTO app.planned SELECT i, date '2024-01-01' + i / 10, '$secret', i, '2024-01-01' FROM generate_series(0, 29) AS i;
  CREATE TABLE app.ready (LIKE app.planned INCLUDING ALL);
  INSERT INTO app.ready TABLE app.planned;
  CREATE TABLE app.published (LIKE app.planned INCLUDING ALL);
  INSERT INTO app.published TABLE app.planned;
  CREATE TABLE app.free (LIKE app.planned INCLUDING ALL);
  INSERT INTO app.free TABLE app.planned;
  ANALYZE app.free});

sub plain_spec
{
  my ($table) = @_;
  return {
    name => $table,
    scope => { table => "app.$table", column => 'day', start => '2024-01-01', stop => '2024-01-03' },
    transform => { set => { label => q('new')} },
    strategy => { chunk_by => 'day' },
    checks => [ { check => 'expression', sql => 'id >= 0', name => 'warned', severity => 'warn' }, { check => 'failed_rows', name => 'fails', query => 'SELECT 1' } ] };
}
foreach my $table (qw(planned ready published))
{
  my $spec = $json->encode(plain_spec($table));
  value($node, "SET ROLE planner; SELECT backfill_plan(\$_\$$spec\$_\$)");
  value($node, "SELECT backfill_run('$table')") if $table ne 'planned';
}
foreach my $table (qw(ready published))
{
  wait_state($node, $table, 'ready');
  value($node, "SELECT backfill_waive('$table', 'fails', 'known')") if $table eq 'published';
}
value($node, q{SELECT backfill_publish('published')});
wait_state($node, 'published', 'published');

# -- what is tried

my $bite = 'DELETE FROM public.canary';
my @texts = (
  "'; $bite; --", "\"; $bite; --", "'); $bite; --", "')); $bite; --", "\\'; $bite; --", "\$\$; $bite; \$\$", "\$_\$); $bite; \$_\$",
  "*/ $bite; /*", "x\n; $bite;\n--", "1; $bite", "'||(SELECT 1)||'", '$1', '%s%n%1$I%L%%', ':chunk_start :name :chunk', '--', '/*', '\\', '"',
  "\r\n\t", "\x01\x7f", '', ' ', 'n' x 64, 'n' x 62 . 'é', 'n' x 61 . '😀', "\x{202e}elbat\x{202c} שלום", "\x{feff}",
  '{', '[[', '&a [*a, *a]', '!!binary x', 'NaN', '99999999999999999999', '4714-01-01 BC', 'backfill.job', '../../etc/passwd',
  'huge', undef);

my @short = (@texts[0, 1, 5], "\x01", '', 'n' x 62 . 'é', 'huge');  # where there are many places

my (@script, @tried);  # statements, and what they try

# Statements are tried in a transaction that is rolled back, a procedure outside.
sub try_statement
{
  my ($what, $sql) = @_;
  push @tried, $what;
  my $call = $sql =~ /^CALL/ ? "$sql;" : "BEGIN;\n$sql;";
  push @script, "$call\n\\echo tried $#tried :SQLSTATE\nROLLBACK;\n";
  return;
}

# The functions of people, with values that they take.
my %value_of = (
  'name' => q('ready'), 'names' => q(ARRAY['ready']), 'target' => q('app.free'), 'spec' => literal($json->encode(plain_spec('free'))), 'check' => q('fails'),
  'reason' => q('why'), 'format' => q('markdown'), 'chunk' => '1', 'value' => q('2024-01-02'), 'chunk_column' => q('day'), 'start' => q('2024-01-01'),
  'stop' => q('2024-01-03'), 'set' => q('{"label": "''x''"}'), 'timeout' => q('1 s'));
my %own = ('backfill_plan.name' => q('free'), 'backfill_rollback.name' => q('published'), 'backfill_finish.name' => q('published'), 'backfill_run.name' => q('planned'),
  'backfill_sample.name' => q('planned'), 'backfill_provenance.target' => q('app.published'), 'backfill_sample.chunks' => '1');

my @functions = map { [ split /\|/ ] } split /\n/, value($node, q{
  SELECT concat_ws('|', p.oid::regproc, p.prokind, p.pronargs - p.pronargdefaults, p.provariadic <> 0,
                   (SELECT string_agg(x.name || ' ' || t.oid::regtype, ',' ORDER BY x.n)
                      FROM unnest(p.proargtypes::oid[], p.proargnames[:p.pronargs]) WITH ORDINALITY AS x (type, name, n) JOIN pg_type AS t ON t.oid = x.type))
    FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
   WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'backfill') AND p.prorettype <> 'trigger'::regtype
   ORDER BY p.oid});

# Forms in which a text is given to an argument of a type.
sub forms
{
  my ($type, $text) = @_;
  my $value = literal($text);
  return $value if $type eq 'text';
  return ("to_jsonb(${value}::text)", "jsonb_build_object(coalesce(${value}::text, ''), ${value}::text)") if $type eq 'jsonb';
  return ("ARRAY[${value}]::text[]", "ARRAY['ready', ${value}]::text[]", "ARRAY[[${value}], ['day']]::text[]") if $type eq 'text[]';
  return ();
}

my %odd = (integer => [ 0, -1, 2147483647, -2147483648 ], bigint => [ 0, -1 ], oid => [ 0, 1259, 4294967295 ], boolean => [ 'true' ],
  interval => [ q('-1 s'), q('178000000 years'), q('0') ], 'timestamp with time zone' => [ q('infinity') ], uuid => [ 'gen_random_uuid()' ], tid => [ q('(0,1)'), q('(4294967295,65535)') ],
  'interval[]' => [ q('{}'), q('{NULL}') ], json => [ q('1') ], jsonb => [ q{(repeat('[', 5000) || repeat(']', 5000))::jsonb}, q('1'), q('{}'), q('null') ],
  record => [ q(ROW(1, 'x'::text, NULL)), 'ROW()', q{ROW(ROW(repeat('x', 100000)), '{}'::text[])} ], 'text[]' => [ q('{}'), q(array_fill('x'::text, ARRAY[10000])) ]);

my @unknown;
foreach my $function (@functions)
{
  my ($name, $kind, $required, $variadic, $arguments) = @$function;
  my @arguments = map { [ split / /, $_, 2 ] } split /,/, $arguments // '';
  my $bare = $name =~ s/^.*\.//r;
  for my $i (0 .. $#arguments)
  {
    my ($argument, $type) = @{ $arguments[$i] };
    push @unknown, "$name($argument $type)" unless $type eq 'text' || $odd{$type};
    foreach my $value ((map { forms($type, $_) } $type eq 'jsonb' ? @short : @texts), @{ $odd{$type} // [] }, 'NULL')
    {
      my @given;
      for my $k (0 .. $#arguments)
      {
        my ($other, $of) = @{ $arguments[$k] };
        my $known = $own{"$bare.$other"} // $value_of{$other};
        next if $k != $i && $k >= $required && !defined $known;
        push @given, ($variadic eq 't' && $k == $#arguments ? 'VARIADIC ' : $kind eq 'p' || $name !~ /^backfill_/ ? '' : ident($other) . ' => ')
          . ($k == $i ? $value : $known // ($odd{$of} ? $odd{$of}[0] : q(''))) . "::$of";
      }
      my $call = "$name(" . join(', ', @given) . ')';
      try_statement("$name.$argument", $kind eq 'p' ? "CALL $call" : "SELECT count(*) FROM $call");
    }
  }
}
is(join(', ', @unknown), '', 'every type of an argument is known to this test');
my $calls = @tried;

# The keys of a spec, as the errors list them; at each one texts and whatever else may stand there.
sub listed_by
{
  my ($change, $wanted) = @_;
  my $spec = plain_spec('free');
  $change->($spec);
  my ($status, $out, $err) = $node->psql('postgres', 'SELECT backfill_plan(' . literal($json->encode($spec)) . ')');
  return $err =~ /$wanted.*\nDETAIL:  Known [^"]*(".*)\.$/m ? $1 =~ /"([^"]+)"/g : ();
}
my $unknown = qr/unknown key/;
my (@places, $sections);
foreach my $key (listed_by(sub { $_[0]{zzz} = 1 }, $unknown))
{
  push @places, sub { $_[0]{$key} = $_[1] };
  foreach my $inner (listed_by(sub { $_[0]{$key} = { zzz => 1 } }, $unknown))
  {
    $sections++;
    push @places, sub { $_[0]{$key} = {} if ref($_[0]{$key}) ne 'HASH'; $_[0]{$key}{$inner} = $_[1] };
  }
  foreach my $inner (listed_by(sub { $_[0]{$key} = [ { zzz => 1 } ] }, $unknown))
  {
    $sections++;
    push @places, sub { $_[0]{$key} = [ { name => 'x', $inner => $_[1] } ] };
  }
}
cmp_ok($sections, '>', 40, 'the errors list the keys of sections');
my %parameters;
my @checks = listed_by(sub { $_[0]{checks} = [ { check => 'zzz' } ] }, qr/unknown check/);
cmp_ok(scalar @checks, '>', 20, '- and the checks');
foreach my $check (@checks)
{
  foreach my $parameter (listed_by(sub { $_[0]{checks} = [ { check => $check, zzz => 1 } ] }, $unknown))
  {
    next if $check ne 'expression' && $parameters{$parameter}++ > 2;  # those of all checks are read in one place
    my %needs = (sql => 'sum(n)', column => 'n', query => 'SELECT 1', source_query => 'SELECT * FROM app.free', to_table => 'app.free', to_column => 'id', min => 0, max => 9,
      values => ['a'], max_age => '1 day', metric => 'sum');
    my @needed = $check eq 'expression' ? (sql => 'id > 0') : map { $_ => $needs{$_} } grep { $needs{$_} } listed_by(sub { $_[0]{checks} = [ { check => $check, zzz => 1 } ] }, $unknown);
    push @places, sub { $_[0]{checks} = [ { @needed, check => $check, $parameter => $_[1] } ]; delete $_[0]{checks}[0]{metric} if $parameter eq 'sql' };
  }
}
push @places, map { my $key = $_; sub { $_[0]{transform}{$key} = { label => $_[1] } } } qw(set add_columns);

foreach my $place (@places)
{
  foreach my $value (@short, [ $texts[0], $texts[1] ], { $texts[0] => $texts[1] }, 1e300)
  {
    my $spec = plain_spec('free');
    $place->($spec, $value);
    my $text = literal($json->encode($spec));
    $text = "replace($text, '\"huge\"', '\"' || repeat('x', 1048576) || '\"')" if !ref $value && defined $value && $value eq 'huge';
    try_statement('spec ' . substr($json->encode($spec), 0, 300), "SELECT count(*) FROM backfill_plan($text)");
  }
}

my $before = -s $node->logfile;
my $ledger = value($node, 'SELECT id, state, audit, archive_until, spec FROM backfill.job ORDER BY id');
my $objects = inventory($node);
my (%found, $last);
my $bad = '';
my ($status, $out, $err) = $node->psql('postgres', encode_utf8(join('', "\\o /dev/null\nSET statement_timeout = '300s';\n", @script)), on_error_stop => 0, extra_params => [ '-U', 'planner', '-v', 'VERBOSITY=verbose' ]);
while ($out =~ /^tried (\d+) (\S+)$/mg)
{
  my ($number, $state) = ($1, $2);
  $found{$state}++;
  $last = $number;
  $bad .= "$state $tried[$number]\n" if $state =~ /^XX|^57014/;
}
is($last, $#tried, "$calls calls of functions and " . (@tried - $calls) . ' plans were tried');
note(join ' ', map { "$_ $found{$_}" } sort keys %found);
is($bad, '', '- and none met an internal error, nor went on for long');
my $log = substr(slurp_file($node->logfile), $before);
unlike($log, qr/CANARY|permission denied for table canary/, 'none reached the canary');
unlike($log, qr/terminated by signal|PANIC/, 'nor ended the server');
unlike($err, qr/ERROR:.*\Q$secret\E|DETAIL:.*\Q$secret\E/, 'no error tells of rows');
same(inventory($node), $objects, 'nothing is left behind');
is(value($node, 'SELECT id, state, audit, archive_until, spec FROM backfill.job ORDER BY id'), $ledger, 'the jobs are what they were');

done_testing();
