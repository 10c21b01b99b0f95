# Starts PostgreSQL; at the first start it makes the cluster, the roles, the database and the extension, in a folder beside that is
# renamed when whole: a killed start leaves no half. Works in any image with sh, initdb and postgres on PATH.
# mizzen_owner owns the tables, and mizzen reads and writes their rows.
set -eu
data=/data/postgresql keys=/etc/mizzen/keys
secret() { sed "s/'/''/g" "$keys/$1"; }
# A statement ends with a semicolon and an empty line. A killed server leaves a lock with its pid, which this shell has now.
single() { PG_GRANDPARENT_PID=$$ postgres --single -j -c exit_on_error=true -D "$@"; }
owner() { cat <<SQL
DO \$\$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mizzen_owner') THEN CREATE ROLE mizzen_owner; END IF; END \$\$;

ALTER ROLE mizzen_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD '$(secret owner-password)';

SQL
}
if [ ! -s "$data/PG_VERSION" ]; then
  rm -rf "$data.new"
  initdb -D "$data.new" -U postgres -A scram-sha-256 --pwfile="$keys/superuser-password" --encoding=UTF8 --locale=C.UTF-8
  echo "host all all all scram-sha-256" >> "$data.new/pg_hba.conf"
  # A database made from template1 has the extension without its owner being a superuser.
  { owner; cat <<SQL
CREATE EXTENSION vector;

CREATE ROLE mizzen LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD '$(secret password)';

CREATE DATABASE mizzen OWNER mizzen_owner;

SQL
  } | single "$data.new" template1
  mv "$data.new" "$data"
else
  # Data of a release in which mizzen owned its tables, or a dump of one: they change hands, and pods of that release serve on.
  { owner; cat <<'SQL'
DO $$ DECLARE room text; BEGIN
  IF EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = 'mizzen'::regrole AND deptype = 'o'
      AND dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) THEN
    REASSIGN OWNED BY mizzen TO mizzen_owner;
    FOR room IN SELECT nspname FROM pg_namespace WHERE nspname IN ('retrieval', 'monitoring') LOOP
      EXECUTE format('GRANT USAGE ON SCHEMA %I TO mizzen', room);
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO mizzen', room);
      EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO mizzen', room);
    END LOOP;
  END IF;
END $$;

SQL
  } | single "$data" mizzen
fi
exec postgres -D "$data" -p 5433 -c listen_addresses='*' -c unix_socket_directories=/tmp -c timezone=UTC -c log_timezone=UTC \
  -c dynamic_shared_memory_type=mmap -c max_connections="$MAX_CONNECTIONS" -c shared_buffers="$SHARED_BUFFERS"
