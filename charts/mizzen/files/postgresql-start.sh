# Starts PostgreSQL; at the first start it makes the cluster, the role, the database and the extension, in a folder
# beside that is renamed when whole: a killed start leaves no half. Works in any image with sh, initdb and postgres on PATH.
set -eu
data=/data/postgresql keys=/etc/mizzen/keys
if [ ! -s "$data/PG_VERSION" ]; then
  rm -rf "$data.new"
  initdb -D "$data.new" -U postgres -A scram-sha-256 --pwfile="$keys/superuser-password" --encoding=UTF8 --locale=C.UTF-8
  echo "host all all all scram-sha-256" >> "$data.new/pg_hba.conf"
  # A database made from template1 has the extension without its owner being a superuser. One line is one statement.
  postgres --single -D "$data.new" template1 <<SQL
CREATE EXTENSION vector;
CREATE ROLE mizzen LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '$(cat "$keys/password")';
CREATE DATABASE mizzen OWNER mizzen;
SQL
  mv "$data.new" "$data"
fi
exec postgres -D "$data" -p 5433 -c listen_addresses='*' -c unix_socket_directories=/tmp -c timezone=UTC -c log_timezone=UTC \
  -c dynamic_shared_memory_type=mmap -c max_connections="$MAX_CONNECTIONS"
