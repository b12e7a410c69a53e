# What the parts of the bench share: asking the server, jobs, watching processes and WAL, medians, results.
#
# A part is a script that measures and ends with finish(): tables to read, budgets with what was measured, and the single
# runs as they came.  It finds an empty database with the extension in it.
package Bench;

use strict;
use warnings FATAL => 'all';
use utf8;

use Exporter 'import';
use JSON::PP;
use List::Util qw(max min);
use POSIX qw(strftime);
use Time::HiRes qw(sleep time);

our @EXPORT = qw(by_size runs times lasting chosen sql value call seconds checkpoint make_job ready_job cancel_job phase_of await watch unwatch
  idle_memory median spread budget pgbench finish told bytes number ratio settled);

my $json = JSON::PP->new->canonical->pretty->utf8;
my $begun = time;

# by_size(tiny, small, full)
sub by_size
{
  my %of = (tiny => $_[0], small => $_[1], full => $_[2]);
  return $of{ $ENV{BENCH_SIZE} };
}

# How often each contestant runs.
sub runs { return $ENV{BENCH_RUNS} || by_size(1, 3, 5); }

# The same for what has a number of repetitions of its own.
sub times { return $ENV{BENCH_RUNS} || by_size(@_); }

# Seconds that a load lasts.
sub lasting { return $ENV{BENCH_SECONDS} || by_size(@_); }

# Of `all`, those that are named in the environment variable, or all.
sub chosen
{
  my ($variable, @all) = @_;
  my @wanted = split /,/, $ENV{$variable} // '' or return @all;
  for my $wanted (@wanted) { die "there is no \"$wanted\"; there are: @all\n" unless grep { $_ eq $wanted } @all }
  return @wanted;
}

# -- the server

# Runs SQL (psql's commands too) in a session of its own; returns what it answers.
sub sql
{
  my ($text) = @_;
  my $file = "$ENV{PGHOST}/statement.$$.sql";
  open(my $out, '>', $file) or die "$file: $!";
  print $out $text;
  close $out;
  my $answer = qx(psql -X -q -A -t -v ON_ERROR_STOP=1 -f $file 2>&1);
  die "$answer\nin: $text\n" if $? != 0;
  unlink $file;
  chomp $answer;
  return $answer;
}

sub value { return sql("SELECT $_[0]"); }

# Rows as lists of texts.
sub call { return map { [ split /\|/, $_, -1 ] } split /\n/, sql($_[0]); }

sub seconds
{
  my ($work) = @_;
  my $from = time;
  $work->();
  return time - $from;
}

# Every run begins behind a checkpoint, with the writes of the last one done.
sub checkpoint { sql('CHECKPOINT'); return; }

sub await
{
  my ($question, $patience, $pause) = @_;
  my $until = time + ($patience // 600);
  until (value($question) eq 't')
  {
    die "waited in vain for: $question\n" . value("(SELECT string_agg(concat_ws(' ', name, state, phase, error), E'\\n') FROM backfill.jobs)")
      if time > $until;
    sleep($pause // 0.1);
  }
  return;
}

# -- jobs

# Plans a job; `spec` is YAML flow without the outer braces and the name.
sub make_job
{
  my ($name, $spec) = @_;
  sql("\\o /dev/null\nSELECT backfill_plan(\$spec\${name: $name, $spec}\$spec\$)");
  return;
}

# From plan to ready; returns seconds.
sub ready_job
{
  my ($name, $spec) = @_;
  return seconds(
    sub {
      sql("SET client_min_messages = warning;\n\\o /dev/null\nSELECT backfill_plan(\$spec\${name: $name, $spec}\$spec\$);\n"
          . "SELECT backfill_run('$name');\nCALL backfill_wait('$name');");
    });
}

sub cancel_job { sql("SET client_min_messages = warning;\n\\o /dev/null\nSELECT backfill_cancel('$_[0]')"); return; }

# When the steps of these kinds ran: (begin, end) in seconds of the epoch, of the newest job of that name.
sub phase_of
{
  my ($name, $phase) = @_;
  my ($row) = call("SELECT extract(epoch FROM min(s.started_at)), extract(epoch FROM max(s.finished_at))
      FROM backfill.step s WHERE s.phase = '$phase' AND s.status = 'done'
       AND s.job_id = (SELECT max(id) FROM backfill.job WHERE name = '$name')");
  return @$row;
}

# -- watching

# Two processes that look every few hundredths of a second: one at the anonymous memory of every process of the server (what
# is its own; shared buffers are not in it), one at the position in the WAL.
sub watch
{
  my $dir = "$ENV{PGHOST}/watch";
  mkdir $dir;
  unlink glob "$dir/*";
  my $log = $ENV{BENCH_LOG};
  my %watch = (dir => $dir, log_from => -s $log);

  $watch{memory} = fork // die;
  if ($watch{memory} == 0)
  {
    watch_memory("$dir/memory");
    POSIX::_exit(0);
  }
  $watch{wal} = fork // die;
  if ($watch{wal} == 0)
  {
    open(STDOUT, '>', "$dir/wal");
    open(my $file, '>', "$dir/wal.sql");
    print $file "SELECT extract(epoch FROM clock_timestamp()), pg_current_wal_insert_lsn() - '0/0' \\watch 0.02\n";
    close $file;
    exec 'psql', '-XqAt', '-d', 'postgres', '-f', "$dir/wal.sql";
  }
  Time::HiRes::sleep(0.05) until -s "$dir/wal" && -s "$dir/memory";
  $watch{from} = time;
  return \%watch;
}

sub watch_memory
{
  my ($file) = @_;
  my $stop = 0;
  local $SIG{TERM} = sub { $stop = 1 };
  open(my $out, '>', $file) or die;
  $out->autoflush;
  my %kind;
  until ($stop)
  {
    my $now = time;
    for my $pid (children_of_server())
    {
      $kind{$pid} //= kind_of($pid);
      my $kb = anonymous_memory($pid) // next;
      print $out "$now $pid $kb $kind{$pid}\n";
    }
    Time::HiRes::sleep(0.04);
  }
  return;
}

sub children_of_server
{
  open(my $in, '<', "/proc/$ENV{BENCH_POSTMASTER}/task/$ENV{BENCH_POSTMASTER}/children") or return;
  return split ' ', <$in> // '';
}

# worker (of backfill), coordinator, parallel, client, other
sub kind_of
{
  my ($pid) = @_;
  open(my $in, '<', "/proc/$pid/cmdline") or return 'other';
  my $title = <$in> // '';
  return 'worker' if $title =~ /backfill worker/;
  return 'coordinator' if $title =~ /backfill coordinator/;
  return 'parallel' if $title =~ /parallel worker/;
  return 'client' if $title =~ / bench_\w+ \[local\]/;
  return 'other';
}

sub anonymous_memory
{
  my ($pid) = @_;
  open(my $in, '<', "/proc/$pid/status") or return;
  while (my $line = <$in>) { return $1 if $line =~ /^RssAnon:\s+(\d+)/ }
  return;
}

# Ends it.  What it answers: wal(from, to) in bytes, memory(kinds, from, to) the largest process in bytes, temp in bytes.
sub unwatch
{
  my ($watch) = @_;
  Time::HiRes::sleep(0.05);
  kill 'TERM', $watch->{$_} for qw(memory wal);
  waitpid $watch->{$_}, 0 for qw(memory wal);

  my @wal = map { [ split /\|/ ] } grep {/\|/} lines("$watch->{dir}/wal");
  my @memory = map { [ split ' ' ] } lines("$watch->{dir}/memory");
  my $position = sub {
    my ($at) = @_;
    my $before = $wal[0];
    for my $sample (@wal)
    {
      last if $sample->[0] > $at;
      $before = $sample;
    }
    return $before->[1];
  };
  my ($first, $last) = ($watch->{from}, time);
  return {
    wal => sub { return $position->($_[1] // $last) - $position->($_[0] // $first); },
    memory => sub {
      my ($kinds, $from, $to) = @_;
      return 1024 * (max(map { $_->[2] } grep { $_->[3] =~ /^($kinds)$/ && $_->[0] >= ($from // 0) && $_->[0] <= ($to // 1e12) } @memory) // 0);
    },
    temp => temporary_bytes($watch->{log_from}),
  };
}

sub lines
{
  open(my $in, '<', $_[0]) or return;
  return grep {/\n$/} <$in>;
}

# The server's log tells of every temporary file when it goes (log_temp_files).
sub temporary_bytes
{
  my ($from) = @_;
  open(my $in, '<', $ENV{BENCH_LOG}) or die;
  seek $in, $from, 0;
  my $sum = 0;
  while (my $line = <$in>) { $sum += $1 if $line =~ /temporary file: path .*, size (\d+)/ }
  return $sum;
}

# A backend that has done next to nothing.
sub idle_memory
{
  my $pid = open(my $in, '-|', 'psql', '-XqAt', '-c', 'SELECT pg_backend_pid()', '-c', 'SELECT pg_sleep(0.5)') or die;
  my $backend = <$in>;
  chomp $backend;
  Time::HiRes::sleep(0.1);
  my $kb = anonymous_memory($backend);
  my @rest = <$in>;
  close $in;
  return 1024 * $kb;
}

# -- load

# Runs pgbench; returns { tps, failed, latency (ms, average), output }.
sub pgbench
{
  my (@arguments) = @_;
  my $output = qx(pgbench -n @arguments $ENV{PGDATABASE} 2>&1);
  die "pgbench @arguments:\n$output" if $? != 0;
  my ($tps) = $output =~ /^tps = ([\d.]+)/m;
  my ($failed) = $output =~ /number of failed transactions: (\d+)/;
  my ($latency) = $output =~ /latency average = ([\d.]+)/;
  return { tps => $tps, failed => $failed // 0, latency => $latency, output => $output };
}

# -- numbers

sub median
{
  my @sorted = sort { $a <=> $b } @_;
  return unless @sorted;
  my $middle = int(@sorted / 2);
  return @sorted % 2 ? $sorted[$middle] : ($sorted[ $middle - 1 ] + $sorted[$middle]) / 2;
}

# "from–to"
sub spread
{
  my ($format, @values) = @_;
  return '-' unless @values;
  my ($low, $high) = map { sprintf $format, $_ } (min(@values), max(@values));
  return $low eq $high ? $low : "$low–$high";
}

sub bytes
{
  my ($value) = @_;
  return '-' unless defined $value;
  return sprintf('%.2f GB', $value / 1e9) if $value >= 1e9;
  return sprintf('%.1f MB', $value / 1e6) if $value >= 1e5;
  return $value ? sprintf('%.0f kB', $value / 1e3) : '0';
}

# 1 234 567
sub number
{
  my ($value) = @_;
  return '-' unless defined $value;
  my $text = sprintf '%.0f', $value;
  1 while $text =~ s/^(\d+)(\d{3})/$1 $2/;
  return $text;
}

sub ratio { return $_[1] ? $_[0] / $_[1] : 0; }

# -- results

my @budgets;

# budget(what, measured, '>=' or '<=', limit, format, how it was measured)
sub budget
{
  my ($what, $measured, $relation, $limit, $format, $how) = @_;
  my $met = $relation eq '>=' ? $measured >= $limit : $measured <= $limit;
  push @budgets,
    {
      what => $what, measured => $measured + 0, relation => $relation, limit => $limit, how => $how, met => $met ? JSON::PP::true : JSON::PP::false,
      shown => sprintf($format, $measured), shown_limit => sprintf($format, $limit)
    };
  return;
}

# finish(title, tables => [{caption, head, rows}], notes => [...], raw => [...])
sub finish
{
  my ($title, %result) = @_;
  my ($part) = $0 =~ m{([a-z]+)\.pl$};
  my %settings = map { $_->[0] => $_->[1] } call("SELECT name, current_setting(name) FROM pg_settings
      WHERE source NOT IN ('default', 'client') AND name !~ 'director|^(listen|port|lc_|log_line|TimeZone|DateStyle)'");
  my $record = {
    part => $part, title => $title, size => $ENV{BENCH_SIZE}, runs => runs() + 0, budgets => \@budgets,
    measured_at => strftime('%Y-%m-%dT%H:%M:%SZ', gmtime), seconds => time - $begun, settings => \%settings,
    machine => machine(), %result
  };
  my $file = "$ENV{BENCH_OUT}/$part.json";
  open(my $out, '>', "$file.new") or die "$file: $!";
  print $out $json->encode($record);
  close $out;
  rename "$file.new", $file or die "$file: $!";
  return;
}

sub machine
{
  my ($model) = map { /: (.*)/ } grep {/^model name/} lines('/proc/cpuinfo');
  my ($memory) = map { /(\d+)/ } grep {/^MemTotal/} lines('/proc/meminfo');
  my $load = (lines('/proc/loadavg'))[0];
  chomp(my $cores = qx(nproc));
  chomp(my $kernel = qx(uname -sr));
  return {
    processor => $model // 'unknown', cores => $cores + 0, memory_bytes => $memory * 1024, kernel => $kernel, server => value('version()'),
    load_at_end => (split ' ', $load)[0],
    backfill => value("extversion FROM pg_extension WHERE extname = 'backfill'"),
    pg_repack => (qx(pg_repack --version) =~ s/\s+$//r),
  };
}

# Is there a result of this part and size?
sub measured
{
  my ($part) = @_;
  my $record = told($part);
  return $record && $record->{size} eq $ENV{BENCH_SIZE};
}

sub told
{
  my ($part) = @_;
  open(my $in, '<', "$ENV{BENCH_OUT}/$part.json") or return;
  local $/;
  return eval { $json->decode(<$in>) };
}

1;
