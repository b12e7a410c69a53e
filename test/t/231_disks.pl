# Disks that run full: the job waits or fails and says why, the table in service is what it was, nothing is taken from those who
# write to it, and the server does not stop.
#
# They are file systems of our own, mounted in a name space of our own; where that is not allowed, all of it is skipped.
use strict;
use warnings;

# Before the test modules take the output.
BEGIN
{
  if (!exists $ENV{BACKFILL_DISKS})
  {
    my @alone = ('unshare', '-m', ($> == 0 ? () : ('-U', '--map-current-user', '--keep-caps')));
    local $ENV{BACKFILL_DISKS} = system("@alone mount -t tmpfs tmpfs /mnt >/dev/null 2>&1") == 0 ? 1 : 0;
    exec(($ENV{BACKFILL_DISKS} ? @alone : ()), $^X, (map { "-I$_" } @INC), $0, @ARGV) or die "cannot start again: $!";
  }
}

use FindBin;
use lib $FindBin::RealBin;
use Jobs;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no file system can be mounted here (unshare -m)' unless $ENV{BACKFILL_DISKS};

# disk($name, $megabytes): the directory of a file system of that size, taken off before directories are removed.
my @disks;
END
{
  my $status = $?;
  system('umount', '-l', $_) foreach @disks;
  $? = $status;
}

sub disk
{
  my ($name, $megabytes) = @_;
  my $directory = PostgreSQL::Test::Utils::tempdir_short() . "/$name";
  mkdir $directory or die "cannot make $directory: $!";
  system('mount', '-t', 'tmpfs', '-o', "size=${megabytes}m,mode=0700", 'tmpfs', $directory) == 0 or die 'cannot mount';
  push @disks, $directory;
  return $directory;
}

sub planned
{
  my ($node, $spec) = @_;
  return value($node, 'SELECT backfill_plan($spec$' . $spec . '$spec$)');
}

sub waits_for
{
  my ($node, $name, $pattern, $test) = @_;
  my $there = $node->poll_query_until('postgres',
    "SELECT waiting_for ~ \$p\$$pattern\$p\$ FROM backfill.jobs WHERE name = '$name' ORDER BY id DESC LIMIT 1");
  ok($there, $test);
  diag(value($node, "SELECT state, phase, waiting_for, error FROM backfill.jobs WHERE name = '$name'")) unless $there;
  return;
}

my ($wal, $small) = (disk('wal', 64), disk('small', 40));
my $node = PostgreSQL::Test::Cluster->new('disks');
$node->init(extra => [ '--wal-segsize=1', '-X', "$wal/pg_wal" ]);
$node->append_conf('postgresql.conf', join("\n", 'max_worker_processes = 16', 'max_wal_size = 8MB', 'min_wal_size = 2MB', 'wal_level = replica', 'autovacuum = off'));
$node->start;
value($node, 'CREATE EXTENSION backfill');
value($node, "CREATE TABLESPACE small LOCATION '$small'");
value($node, q{
  CREATE TABLE t (id integer PRIMARY KEY USING INDEX TABLESPACE small, body text, v integer) TABLESPACE small;
  ALTER TABLE t ALTER body SET STORAGE PLAIN;
  INSERT INTO t SELECT i, repeat(md5(i::text), 100), 0 FROM generate_series(1, 6000) AS i;
  ANALYZE t; CHECKPOINT});
my $sum = q{SELECT count(*), sum(id), sum(v), md5(string_agg(md5(body), '' ORDER BY id)) FROM t};
my $before = value($node, $sum);
my $spec = q~{name: t, scope: {table: t, column: id, start: 1, stop: 6001}, transform: {set: {v: "v + 1"}},
  strategy: {chunk_by: 1000, parallelism: 2, retries: 0, batch_target: 50ms}, throttle: {free_disk: 1kB}}~;

my $text = planned($node, $spec);
like($text, qr/The new version needs ≈ .* of the disk of tablespace small, where .* are\s+free/, 'the plan says that the disk is too small');
value($node, q{SELECT backfill_run('t')});
wait_state($node, 't', 'failed', 'the tablespace is full: the job fails');
like(value($node, q{SELECT DISTINCT sqlstate, error FROM backfill.steps WHERE name = 't' AND status = 'failed' LIMIT 1}),
  qr/^53100\|.*No space left on device/, 'and says what has happened');
is(value($node, $sum), $before, 'the table in service is what it was');
my $free = sub { return (split ' ', (split /\n/, `df -k $small`)[1])[3] };
my $full = $free->();
value($node, q{SELECT backfill_cancel('t'); CHECKPOINT});
cmp_ok($free->(), '>', $full + 10000, 'cancel gives the room back');
value($node, q{UPDATE t SET v = 1 WHERE id = 1});

# The same where throttle.free_disk is not set, and somebody else has taken almost all of the disk: nothing is begun.
system('dd', 'if=/dev/zero', "of=$small/ballast", 'bs=1024', 'count=' . ($free->() - 300), 'status=none') == 0 or die 'dd failed';
(my $unlimited = $spec) =~ s/, throttle: \{.*?\}//;
planned($node, $unlimited);
value($node, q{SELECT backfill_run('t')});
waits_for($node, 't', '^[0-9.]+ kB of disk free for tablespace small, limit [0-9.]+ kB where throttle.free_disk is not set$',
  'the last of a disk is not taken from those who write to the table');
value($node, q{UPDATE t SET v = 1 WHERE id = 2});
unlink "$small/ballast" or die 'cannot unlink';
value($node, q{SELECT backfill_cancel('t')});
value($node, q{DELETE FROM t WHERE id > 2500; VACUUM FULL t; ANALYZE t; CHECKPOINT});

# WAL that nothing frees: the job waits before the server stops.
value($node, q{SELECT pg_create_physical_replication_slot('kept', true)});
my $room = sub { return (split ' ', (split /\n/, `df -k $wal`)[1])[3] };
while ((my $much = $room->() - 8 * 1024) > 0)
{
  value($node, "SELECT count(pg_logical_emit_message(false, 'x', repeat('x', 100000))) FROM generate_series(1, 1 + $much / 100)");
}
like(planned($node, $unlimited), qr/The run writes ≈ .* of WAL, and the disk of pg_wal\s+has .*\s+free/, 'the plan says that there is little room for WAL');
value($node, q{SELECT backfill_run('t')});
waits_for($node, 't', '^[0-9.]+ MB of disk free for pg_wal, limit 32 MB where throttle.free_disk is not set$', 'the job waits before pg_wal is full');
is(value($node, q{SELECT rows_done, state FROM backfill.jobs WHERE name = 't' ORDER BY id DESC LIMIT 1}), '0|running', 'nothing is begun');
value($node, q{SELECT pg_drop_replication_slot('kept'); CHECKPOINT});
wait_state($node, 't', 'ready', 'with room it goes on');
is(value($node, 'SELECT count(*), sum(v) - (SELECT sum(v) FROM t) FROM ' . job($node, 't', 'shadow')), '2500|2500', 'to the end');
value($node, "SELECT backfill_publish('t'); SELECT backfill_finish('t')");
is(value($node, q{SELECT spcname FROM pg_class c JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE c.oid = 't'::regclass}), 'small', 'the new version is where the old one was');
unlike(slurp_file($node->logfile), qr/PANIC/, 'the server has never stopped');
$node->stop;

done_testing();
