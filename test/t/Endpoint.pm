# A web server for webhooks, in a process of its own: what it is told it writes to a file, and its mood is a file's contents.
package Endpoint;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Utils;

my $count = 0;

# Moods:  fine 200 | half 500 and 200 by turns | slow 200 after a second | busy 429 | redirect 302 | hang no answer
my %answers = (
  200 => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
  302 => "HTTP/1.1 302 Found\r\nLocation: /redirected\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
  429 => "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
  500 => "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");

sub listener
{
  return IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 20) || die "cannot listen: $!";
}

# host:port where nobody listens.
sub closed_place
{
  my $socket = listener();
  my $place = '127.0.0.1:' . $socket->sockport;
  $socket->close;
  return $place;
}

sub start
{
  my ($class) = @_;
  my $base = "$PostgreSQL::Test::Utils::tmp_check/endpoint" . ++$count;
  my $socket = listener();
  my $self = bless { port => $socket->sockport, base => $base }, $class;
  $self->mode('fine');
  $self->{pid} = fork // die "cannot fork: $!";
  if ($self->{pid} == 0)
  {
    eval { $self->serve($socket); 1 } or warn $@;
    POSIX::_exit(1);
  }
  $socket->close;
  return $self;
}

# With a certificate of its own making; undef without openssl.
sub start_tls
{
  my ($class) = @_;
  my $base = "$PostgreSQL::Test::Utils::tmp_check/endpoint" . ++$count;
  my ($port) = closed_place() =~ /(\d+)$/;
  system("openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
      . " -keyout $base.key -out $base.crt >$base.log 2>&1") == 0 or return;
  my $self = bless { port => $port, base => $base }, $class;
  $self->{pid} = fork // die "cannot fork: $!";
  if ($self->{pid} == 0)
  {
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', "$base.log";
    open STDERR, '>>', "$base.log";
    exec 'openssl', 's_server', '-accept', "127.0.0.1:$port", '-key', "$base.key", '-cert', "$base.crt", '-www';
  }
  return $self;
}

sub place { my ($self) = @_; return "127.0.0.1:$self->{port}"; }

sub mode
{
  my ($self, $mode) = @_;
  open my $file, '>', "$self->{base}.new" or die $!;
  print $file $mode;
  close $file;
  rename "$self->{base}.new", "$self->{base}.mode" or die $!;
  return;
}

# What was posted to a path that ends so, in order: the decoded body, with raw, request (headers) and answered.
sub told
{
  my ($self, $path) = @_;
  return grep { $_->{path} =~ m{/\Q$path\E$} } map { decode_json($_) } split /\n/,
    (-e "$self->{base}.told" ? slurp_file("$self->{base}.told") : '');
}

sub stop
{
  my ($self) = @_;
  kill 'KILL', $self->{pid};
  waitpid $self->{pid}, 0;
  delete $self->{pid};
  return;
}

sub DESTROY
{
  my ($self) = @_;
  local $?;
  $self->stop if $self->{pid};
  return;
}

# -- in the process of the server: one post at a time, but for those that are left hanging

sub serve
{
  my ($self, $socket) = @_;
  my ($posts, @hanging) = (0);
  local $SIG{PIPE} = 'IGNORE';
  while (my $client = $socket->accept)
  {
    my ($path, $headers, $body) = read_post($client);
    next unless defined $path;
    my $mode = slurp_file("$self->{base}.mode");
    my $status = $mode eq 'half' ? (++$posts % 2 ? 500 : 200) : { redirect => 302, busy => 429, hang => 0 }->{$mode} // 200;
    my %message = %{ decode_json($body || '{}') };
    $self->remember({ %message, raw => $body, path => $path, request => $headers, answered => $status });
    IO::Select->new->can_read(1) if $mode eq 'slow';
    push @hanging, $client if $status == 0;
    print $client $answers{$status} if $status;
  }
  return;
}

sub read_post
{
  my ($client) = @_;
  my $first = <$client> // return;
  my ($path) = $first =~ /^[A-Z]+ (\S+)/;
  my %headers;
  while (defined(my $line = <$client>))
  {
    last if $line =~ /^\r?\n$/;
    $headers{ lc $1 } = $2 if $line =~ /^([^:]+):\s*(.*?)\r?\n$/;
  }
  read $client, my $body, $headers{'content-length'} // 0;
  return ($path, \%headers, $body);
}

sub remember
{
  my ($self, $message) = @_;
  open my $file, '>>', "$self->{base}.told" or die $!;
  print $file encode_json($message), "\n";
  close $file;
  return;
}

1;
